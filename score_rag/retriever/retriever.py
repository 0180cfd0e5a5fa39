"""CAR at work: a LlamaIndex retriever over user-behaviour documents."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
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

from score_rag.encoders.encoder import Encoder, ModelEncoder, TextEncoder
from score_rag.errors import InputError, ModelError, RunStage
from score_rag.files import digest_text, read_json
from score_rag.index.external import OutsideIndex
from score_rag.index.reader import BehaviourIndex, Hit, documents_of
from score_rag.retriever.settings import RetrieverSettings
from score_rag.settings import BUNDLED

__all__ = ["CollaborativeRetriever", "UserQuery"]

_CACHED = 1024
_TOP_K = RetrieverSettings().similarity_top_k
_dispatcher = get_dispatcher(__name__)


@dataclass
class UserQuery(QueryBundle):
    """A query that knows who asks, and when.

    Attributes:
        query_str: The user's behaviour in words; may be empty where `user_id` is in the index.
        user_id: Never returned as their own neighbour.
        as_of: Seconds; only documents of strictly earlier events are seen. None means now.
        target: The item in question in words; the reranker reads it, the retriever does not.
        top_k: How many users to return; None means as many as the retriever usually does.
    """

    query_str: str = ""
    user_id: str | None = None
    as_of: int | None = None
    target: str | None = None
    top_k: int | None = None

    def __post_init__(self) -> None:
        # Ids are texts: a number that means the same user must not let them be their own neighbour.
        self.user_id = None if self.user_id is None else str(self.user_id)


class CollaborativeRetriever(BaseRetriever):
    """The Collaborative Retriever (CAR) of SCORE: finds users whose behaviour helps, by text.

    It takes a `UserQuery`, or any LlamaIndex query whose text tells a behaviour ("Liked: Heat (1995); Ronin (1998)"); a query that brings
    its embedding is not embedded again. Each question sees one whole generation of the index: the newest that was finished when it began.

    Args:
        index: The documents.
        encoder: The encoder that built the index.
        similarity_top_k: How many users to return (the paper's Ke).
        callback_manager: As LlamaIndex takes it.
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
        self.similarity_top_k = similarity_top_k
        self._cache: OrderedDict[str, np.ndarray] = OrderedDict()
        self._lock = Lock()

    @classmethod
    def from_pretrained(
        cls, folder: Path | str, *, index: Path | str | None = None, similarity_top_k: int | None = None
    ) -> CollaborativeRetriever:
        """Open a finished retriever folder, such as `runs/sample/retriever`.

        Args:
            folder: What `fit_retriever` wrote.
            index: Another index of the same encoder, such as the `runs/sample/index` that `score-rag index update` keeps.
            similarity_top_k: By default as in the pipeline that trained it.

        Raises:
            ModelError: There is no retriever in the folder.
            IndexMismatchError: Its index is broken, or belongs to another encoder.
        """
        folder = Path(folder)
        if not (folder / "retriever.json").is_file():
            raise ModelError("there is no trained retriever here", where=folder, remedy=RunStage("retriever"))
        settings = read_json(folder / "retriever.json")
        encoder = TextEncoder.from_pretrained(folder / "encoder")
        opened = BehaviourIndex.open(folder / "index" if index is None else index, encoder)
        return cls(opened, encoder, similarity_top_k=similarity_top_k or int(settings["similarity_top_k"]))

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
        used = _encoder(encoder)
        documents = documents_of(texts)
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
            user_id, as_of = getattr(asked, "user_id", None), getattr(asked, "as_of", None)
            stored = index.vector_of(user_id, as_of) if user_id is not None else None
            if stored is None:
                raise InputError(
                    "there is nothing to retrieve by",
                    expected='a text such as "Liked: Heat (1995)", or the id of a user in the index',
                    found=f"no text, user {user_id!r}",
                )
            return stored
        key = digest_text(text)
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
            return self._cache.get(key)

    @contextmanager
    def _embedding(self, text: str) -> Iterator[Callable[[np.ndarray], np.ndarray]]:
        """Events around the embedding of a text: one when it begins, one when it ends, well or not; what is kept in between is cached."""
        found: list[np.ndarray] = []

        def keep(vector: np.ndarray) -> np.ndarray:
            found.append(vector)
            with self._lock:
                self._cache[digest_text(text)] = vector
                if len(self._cache) > _CACHED:
                    self._cache.popitem(last=False)
            return vector

        model = {"class_name": type(self.encoder).__name__, "fingerprint": self.encoder.fingerprint}
        _dispatcher.event(EmbeddingStartEvent(model_dict=model))
        try:
            yield keep
        finally:
            _dispatcher.event(EmbeddingEndEvent(chunks=[text], embeddings=[vector.tolist() for vector in found]))

    def _limits(self, asked: QueryBundle) -> dict[str, Any]:
        return {
            "k": getattr(asked, "top_k", None) or self.similarity_top_k,
            "as_of": getattr(asked, "as_of", None),
            "exclude_user": getattr(asked, "user_id", None),
        }


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
