"""CAR at work: a LlamaIndex retriever over user-behaviour documents."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from score_rag.errors import InputError, ModelError
from score_rag.files import digest_text, read_json
from score_rag.retriever.encoder import TextEncoder
from score_rag.retriever.index import BehaviourIndex, Hit

__all__ = ["CollaborativeRetriever", "UserQuery"]

_CACHED = 1024


@dataclass
class UserQuery(QueryBundle):
    """A query that knows who asks, and when.

    Attributes:
        query_str: The user's behaviour in words; may be empty where `user_id` is in the index.
        user_id: Never returned as their own neighbour.
        as_of: Seconds; only documents of strictly earlier events are seen. None means now.
        target: The item in question in words; the reranker reads it, the retriever does not.
    """

    query_str: str = ""
    user_id: str | None = None
    as_of: int | None = None
    target: str | None = None


class CollaborativeRetriever(BaseRetriever):
    """The Collaborative Retriever (CAR) of SCORE: finds users whose behaviour helps, by text.

    It takes a `UserQuery`, or any LlamaIndex query whose text tells a behaviour ("Liked: Heat (1995); Ronin (1998)").

    Args:
        index: The documents.
        encoder: The encoder that built the index.
        similarity_top_k: How many users to return (the paper's Ke).
    """

    def __init__(self, index: BehaviourIndex, encoder: TextEncoder, *, similarity_top_k: int = 10) -> None:
        super().__init__()
        self.index = index
        self.encoder = encoder
        self.similarity_top_k = similarity_top_k
        self._cache: OrderedDict[str, np.ndarray] = OrderedDict()

    @classmethod
    def from_pretrained(cls, folder: Path | str, *, similarity_top_k: int | None = None) -> CollaborativeRetriever:
        """Open a finished retriever folder, such as `runs/sample/retriever`.

        Args:
            folder: What `fit_retriever` wrote.
            similarity_top_k: By default as in the pipeline that trained it.

        Raises:
            ModelError: There is no retriever in the folder.
            IndexMismatchError: Its index is broken, or belongs to another encoder.
        """
        folder = Path(folder)
        if not (folder / "retriever.json").is_file():
            raise ModelError("there is no trained retriever here", where=folder, hint="score-rag run PIPELINE --until retriever")
        settings = read_json(folder / "retriever.json")
        encoder = TextEncoder.from_pretrained(folder / "encoder")
        index = BehaviourIndex.open(folder / "index", encoder)
        return cls(index, encoder, similarity_top_k=similarity_top_k or int(settings["similarity_top_k"]))

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        user_id = getattr(query_bundle, "user_id", None)
        as_of = getattr(query_bundle, "as_of", None)
        vector = self._vector(query_bundle.query_str, user_id, as_of)
        hits = self.index.query(vector, self.similarity_top_k, as_of=as_of, exclude_user=user_id)
        return [_node(hit) for hit in hits]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        # onnxruntime and Chroma leave the interpreter's lock while they work, so a thread keeps the loop free.
        return await asyncio.to_thread(self._retrieve, query_bundle)

    def _vector(self, text: str, user_id: str | None, as_of: int | None) -> np.ndarray:
        if not text.strip():
            stored = self.index.vector_of(user_id, as_of) if user_id is not None else None
            if stored is None:
                raise InputError(
                    "there is nothing to retrieve by",
                    expected='a text such as "Liked: Heat (1995)", or the id of a user in the index',
                    found=f"no text, user {user_id!r}",
                )
            return stored
        key = digest_text(text)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        vector: np.ndarray = self.encoder.encode([text])[0]
        self._cache[key] = vector
        if len(self._cache) > _CACHED:
            self._cache.popitem(last=False)
        return vector


def _node(hit: Hit) -> NodeWithScore:
    facts = {"user_id": hit.user_id, "known_until": hit.known_until, "events": hit.events}
    hidden = list(facts)
    node = TextNode(
        id_=hit.document_id, text=hit.text, metadata=facts, excluded_embed_metadata_keys=hidden, excluded_llm_metadata_keys=hidden
    )
    return NodeWithScore(node=node, score=hit.score)
