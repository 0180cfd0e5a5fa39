"""A query that knows who asks, and when; and the vectors of the texts that were asked last."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from llama_index.core.schema import QueryBundle

from score_rag.arguments import Time, read_count, read_id, read_text, read_time
from score_rag.files import digest_text

__all__ = ["UserQuery", "VectorCache"]


@dataclass
class UserQuery(QueryBundle):
    """A query that knows who asks, and when.

    Attributes:
        query_str: The user's behaviour in words; may be empty where `user_id` is in the index.
        user_id: Never returned as their own neighbour. A number is the same id as its digits.
        as_of: Only documents of strictly earlier events are seen. Seconds since 1970, a `datetime`, or an ISO date or time (UTC where it
            names no zone); kept in seconds. None means now.
        target: The item in question in words; the reranker reads it, the retriever does not.
        top_k: How many users to return; None means as many as the retriever usually does.

    Raises:
        InputError: One of them cannot be understood.
    """

    query_str: str = ""
    user_id: str | int | None = None
    as_of: Time | None = None
    target: str | None = None
    top_k: int | None = None

    def __post_init__(self) -> None:
        # Ids are texts: a number that means the same user must not let them be their own neighbour.
        self.user_id = None if self.user_id is None else read_id(self.user_id, where="user_id")
        self.as_of = read_time(self.as_of)
        self.target = None if self.target is None else read_text(self.target, where="target")
        self.top_k = None if self.top_k is None else read_count(self.top_k, where="top_k")


class VectorCache:
    """Vectors of the texts that were asked last. Thread-safe; a copy begins empty.

    Args:
        size: How many to keep.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[str, np.ndarray] = OrderedDict()
        self._lock = Lock()

    def get(self, text: str) -> np.ndarray | None:
        """The vector of a text, where it is kept."""
        key = digest_text(text)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def keep(self, text: str, vector: np.ndarray) -> None:
        """Keep a vector, and let go of the one that was asked for longest ago."""
        with self._lock:
            self._kept[digest_text(text)] = vector
            if len(self._kept) > self._size:
                self._kept.popitem(last=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return VectorCache, (self._size,)
