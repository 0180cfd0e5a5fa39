"""An existing vector store to retrieve from: their collection, their nodes, our retriever."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from score_rag.errors import InputError
from score_rag.index.reader import Hit
from score_rag.index.stores import aquery

__all__ = ["OutsideIndex"]


class OutsideIndex:
    """Nodes of a LlamaIndex vector store that tell users' behaviour, such as an `IngestionPipeline` put there.

    Args:
        store: A `BasePydanticVectorStore`.
        user_key: Metadata that says whose behaviour a node tells.
        time_key: Metadata that says when the last told event happened, in seconds; None where nodes have no times.
    """

    def __init__(self, store: Any, *, user_key: str = "user_id", time_key: str | None = None) -> None:
        self.store = store
        self.user_key = user_key
        self.time_key = time_key

    stale = False
    """The store knows what it holds."""

    def current(self) -> OutsideIndex:
        """Itself: the store knows what it holds."""
        return self

    def vector_of(self, user_id: str, as_of: int | None = None) -> np.ndarray | None:
        """None: stores do not give vectors back by metadata."""
        return None

    def query(self, vector: np.ndarray, k: int, *, as_of: int | None = None, exclude_user: str | None = None) -> list[Hit]:
        """The `k` nearest nodes of other users, as near as the store says.

        Raises:
            InputError: A time is asked for, and nodes have none.
        """
        return self._hits(self.store.query(self._query(vector, k, as_of, exclude_user)), k, as_of, exclude_user)

    async def aquery(self, vector: np.ndarray, k: int, *, as_of: int | None = None, exclude_user: str | None = None) -> list[Hit]:
        """`query`, without blocking the event loop."""
        return self._hits(await aquery(self.store, self._query(vector, k, as_of, exclude_user)), k, as_of, exclude_user)

    def _query(self, vector: np.ndarray, k: int, as_of: int | None, exclude_user: str | None) -> Any:
        from llama_index.core.vector_stores.types import FilterOperator, MetadataFilter, MetadataFilters, VectorStoreQuery

        filters = []
        if as_of is not None:
            if self.time_key is None:
                raise InputError(
                    "this store's nodes have no times, so what was known at a moment cannot be selected",
                    expected="nodes with the time of their last event in their metadata",
                    hint='say which it is: time_key="known_until"; or ask without as_of',
                )
            filters.append(MetadataFilter(key=self.time_key, value=as_of, operator=FilterOperator.LT))
        if exclude_user is not None:
            filters.append(MetadataFilter(key=self.user_key, value=exclude_user, operator=FilterOperator.NE))
        # A user may have several nodes, and be told of once.
        return VectorStoreQuery(
            query_embedding=vector.tolist(), similarity_top_k=3 * k + 1, filters=MetadataFilters(filters=list(filters)) if filters else None
        )

    def _hits(self, found: Any, k: int, as_of: int | None, exclude_user: str | None) -> list[Hit]:
        if found.nodes is None and found.ids:
            raise InputError(
                "this store returns ids without nodes, so their text is unknown",
                where=type(self.store).__name__,
                expected="a store that keeps texts (stores_text)",
            )
        nodes: Sequence[Any] = found.nodes or []
        scores = found.similarities or [0.0] * len(nodes)
        hits: dict[str, Hit] = {}
        for node, score in zip(nodes, scores, strict=True):
            facts = node.metadata
            if self.user_key not in facts:
                raise InputError(
                    f"a node of this store does not say whose behaviour it holds: no {self.user_key!r} in its metadata",
                    where=node.node_id,
                    found=", ".join(facts) or "no metadata",
                    hint='say which key it is: user_key="..."',
                )
            until = int(facts[self.time_key]) if self.time_key and self.time_key in facts else -1
            user = str(facts[self.user_key])
            # Not every store filters, and a node without a time may be of any.
            later = as_of is not None and not 0 <= until < as_of
            if user != exclude_user and not later and user not in hits:
                text = node.get_content(metadata_mode="none")
                hits[user] = Hit(user, node.node_id, text, float(score), until, int(facts.get("events", 0)))
        return list(hits.values())[:k]
