"""CAR at work: a LlamaIndex retriever over user-behaviour documents."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.callbacks import CallbackManager
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.events.embedding import EmbeddingEndEvent, EmbeddingStartEvent
from llama_index.core.instrumentation.events.exception import ExceptionEvent
from llama_index.core.instrumentation.events.retrieval import RetrievalEndEvent
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from score_rag.arguments import Time, read_count, read_id, read_text, read_time
from score_rag.encoders.encoder import Encoder, ModelEncoder, TextEncoder
from score_rag.errors import InputError
from score_rag.files import check_sealed, part_folder, read_json
from score_rag.index.external import OutsideIndex
from score_rag.index.reader import BehaviourIndex, Hit, documents_of
from score_rag.retriever.query import UserQuery, VectorCache
from score_rag.retriever.settings import RetrieverSettings
from score_rag.settings import BUNDLED

__all__ = ["CollaborativeRetriever", "UserQuery"]

_CACHED = 1024
_TOP_K = RetrieverSettings().similarity_top_k
_dispatcher = get_dispatcher(__name__)


class CollaborativeRetriever(BaseRetriever):
    """The Collaborative Retriever (CAR) of SCORE: finds users whose behaviour helps, by text.

    It takes a `UserQuery`, or any LlamaIndex query whose text tells a behaviour ("Liked: Heat (1995); Ronin (1998)"); a query that brings
    its embedding is not embedded again. Each question sees one whole generation of the index: the newest that was finished when it began.

    Plain texts, and the queries that a fusion or an agent makes, do not say whose they are: `for_user` gives a retriever that knows it.
    Copies and pickles open the folder again, where it lies in one.

    Args:
        index: The documents.
        encoder: The encoder that built the index.
        similarity_top_k: How many users to return (the paper's Ke).
        callback_manager: As LlamaIndex takes it.

    Attributes:
        user_id: Who asks where a query does not say so; None for nobody.
        as_of: When, where a query does not say so; None means now.
    """

    def __init__(
        self,
        index: BehaviourIndex | OutsideIndex,
        encoder: Encoder,
        *,
        similarity_top_k: int = _TOP_K,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        super().__init__(callback_manager=callback_manager)
        self.index = index
        self.encoder = encoder
        self.similarity_top_k = read_count(similarity_top_k, where="similarity_top_k")
        self.user_id: str | None = None
        self.as_of: int | None = None
        self._cache = VectorCache(_CACHED)

    def __repr__(self) -> str:
        bound = "" if self.user_id is None and self.as_of is None else f", user_id={self.user_id!r}, as_of={self.as_of}"
        return f"CollaborativeRetriever({self.index!r}, {self.encoder!r}, similarity_top_k={self.similarity_top_k}{bound})"

    @classmethod
    def from_pretrained(
        cls, folder: Path | str, *, index: Path | str | None = None, similarity_top_k: int | None = None
    ) -> CollaborativeRetriever:
        """Open a finished retriever folder, such as `runs/sample/retriever`.

        Args:
            folder: What `fit_retriever` wrote, or the folder of the run that holds it (`runs/sample`).
            index: Another index of the same encoder, such as the `runs/sample/index` that `score-rag index update` keeps.
            similarity_top_k: By default as in the pipeline that trained it.

        Raises:
            ModelError: There is no retriever in the folder.
            IndexMismatchError: Its index is broken, or belongs to another encoder.
        """
        folder = part_folder(folder, "retriever")
        check_sealed(folder, served=True)
        settings = read_json(folder / "retriever.json")
        encoder = TextEncoder.from_pretrained(folder / "encoder")
        opened = BehaviourIndex.open(folder / "index" if index is None else index, encoder)
        return cls(opened, encoder, similarity_top_k=int(settings["similarity_top_k"]) if similarity_top_k is None else similarity_top_k)

    @classmethod
    def from_texts(
        cls, texts: Mapping[str, str], *, encoder: str | Encoder | BaseEmbedding = BUNDLED, similarity_top_k: int = _TOP_K
    ) -> CollaborativeRetriever:
        """A retriever in memory over people known by a text each: without a conventional recommender, without training.

        Args:
            texts: User ids with what is told of each.
            encoder: An encoder, a LlamaIndex embedding model, or a name as `find_encoder` takes it.
            similarity_top_k: How many users to return.

        Raises:
            InputError: There are no texts.
            ModelError: The encoder is not on this disk and cannot be fetched.
        """
        if not texts:
            raise InputError("there are no texts to retrieve from", expected="user ids, each with a text")
        people = {read_id(user, where="texts"): read_text(text, where=f"the text of user {user!r}") for user, text in texts.items()}
        used = _encoder(encoder)
        documents = documents_of(people)
        return cls(BehaviourIndex(documents, used.encode(documents["text"].to_list())), used, similarity_top_k=similarity_top_k)

    @classmethod
    def from_vector_store(
        cls,
        store: Any,
        *,
        encoder: str | Encoder | BaseEmbedding,
        similarity_top_k: int = _TOP_K,
        user_key: str = "user_id",
        time_key: str | None = None,
    ) -> CollaborativeRetriever:
        """A retriever over an existing LlamaIndex vector store.

        Args:
            store: A `BasePydanticVectorStore`.
            encoder: What made its vectors: an encoder, a LlamaIndex embedding model, or a name as `find_encoder` takes it.
            similarity_top_k: How many users to return.
            user_key: Metadata that says whose behaviour a node tells.
            time_key: Metadata that says when the last told event happened, in seconds; for questions with `as_of`.
        """
        return cls(OutsideIndex(store, user_key=user_key, time_key=time_key), _encoder(encoder), similarity_top_k=similarity_top_k)

    def for_user(self, user_id: str | int | None, *, as_of: Time | None = None) -> CollaborativeRetriever:
        """This retriever, bound to a user and a time: for whatever asks in plain texts (`QueryFusionRetriever`, an agent's tool).

        It shares index, encoder and cache. A `UserQuery` that names a user or a time itself is answered for those.

        Args:
            user_id: Never returned as their own neighbour.
            as_of: As in `UserQuery`.
        """
        bound = copy.copy(self)
        bound.user_id = None if user_id is None else read_id(user_id, where="user_id")
        bound.as_of = read_time(as_of)
        return bound

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        with _ended(query_bundle):
            self.index = index = self.index.current()
            vector = self._known(index, query_bundle)
            if vector is None:
                with self._embedding(query_bundle.query_str) as keep:
                    vector = keep(self.encoder.encode([query_bundle.query_str])[0])
            return [_node(hit) for hit in index.query(vector, **self._limits(query_bundle))]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        with _ended(query_bundle):
            # A new generation is read from disk: not here.
            index = self.index
            if index.stale:
                self.index = index = await asyncio.to_thread(index.current)
            vector = self._known(index, query_bundle)
            if vector is None:
                with self._embedding(query_bundle.query_str) as keep:
                    vector = keep((await self.encoder.aencode([query_bundle.query_str]))[0])
            return [_node(hit) for hit in await index.aquery(vector, **self._limits(query_bundle))]

    def _known(self, index: BehaviourIndex | OutsideIndex, asked: QueryBundle) -> np.ndarray | None:
        """The vector of a query, where nothing must be embedded for it."""
        if asked.embedding is not None:
            given = np.asarray(asked.embedding, dtype=np.float32)
            unit: np.ndarray = given / max(float(np.linalg.norm(given)), 1e-12)
            return unit
        text = asked.query_str
        if not text.strip():
            user_id, as_of = self._asker(asked)
            stored = index.vector_of(user_id, as_of) if user_id is not None else None
            if stored is None:
                raise InputError(
                    "there is nothing to retrieve by",
                    expected='a text such as "Liked: Heat (1995)", or the id of a user in the index',
                    found=f"no text, user {user_id!r}",
                )
            return stored
        return self._cache.get(read_text(text, where="the query"))

    def _asker(self, asked: QueryBundle) -> tuple[str | None, int | None]:
        """Who asks, and when."""
        user_id, as_of = getattr(asked, "user_id", None), getattr(asked, "as_of", None)
        return self.user_id if user_id is None else user_id, self.as_of if as_of is None else as_of

    @contextmanager
    def _embedding(self, text: str) -> Iterator[Callable[[np.ndarray], np.ndarray]]:
        """Events around the embedding of a text: one when it begins, one when it ends, well or not; what is kept in between is cached."""
        found: list[np.ndarray] = []

        def keep(vector: np.ndarray) -> np.ndarray:
            found.append(vector)
            self._cache.keep(text, vector)
            return vector

        model = {"class_name": type(self.encoder).__name__, "fingerprint": self.encoder.fingerprint}
        _dispatcher.event(EmbeddingStartEvent(model_dict=model))
        try:
            yield keep
        finally:
            _dispatcher.event(EmbeddingEndEvent(chunks=[text], embeddings=[vector.tolist() for vector in found]))

    def _limits(self, asked: QueryBundle) -> dict[str, Any]:
        user_id, as_of = self._asker(asked)
        return {"k": getattr(asked, "top_k", None) or self.similarity_top_k, "as_of": as_of, "exclude_user": user_id}


@contextmanager
def _ended(asked: QueryBundle) -> Iterator[None]:
    """Where a retrieval fails, tell what went wrong and that it has ended; LlamaIndex tells the end of those alone that do not fail."""
    try:
        yield
    except BaseException as error:
        _dispatcher.event(ExceptionEvent(exception=error))
        _dispatcher.event(RetrievalEndEvent(str_or_query_bundle=asked, nodes=[]))
        raise


def _encoder(given: str | Encoder | BaseEmbedding) -> Encoder:
    if isinstance(given, str):
        return TextEncoder.untrained(given)
    return ModelEncoder(given) if isinstance(given, BaseEmbedding) else given


def _node(hit: Hit) -> NodeWithScore:
    facts = {"user_id": hit.user_id, "known_until": hit.known_until, "events": hit.events}
    hidden = list(facts)
    node = TextNode(
        id_=hit.document_id, text=hit.text, metadata=facts, excluded_embed_metadata_keys=hidden, excluded_llm_metadata_keys=hidden
    )
    return NodeWithScore(node=node, score=hit.score)
