"""Exact search over documents that lie in the order of time: what was known at a moment is a prefix of the array.

A metadata filter of an approximate store walks over what it may not return; here the moment only says where to stop. The array may be
memory-mapped: a question touches the prefix, and no process has a copy of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from score_rag.documents.versions import FOREVER

__all__ = ["best_places", "search_at", "search_many"]

_TILE = 131_072
"""Documents that are scored at a time, so that many questions of many documents need no matrix of all of them."""


def best_places(scores: np.ndarray, k: int) -> np.ndarray:
    """Places of the `k` highest scores, best first; of equal ones the earlier place. -inf is never returned.

    >>> best_places(np.array([0.5, 0.9, -np.inf, 0.9]), 3).tolist()
    [1, 3, 0]
    """
    if k < len(scores):
        # A partition alone would take any of those that tie at the edge; all of them are candidates.
        edge = scores[np.argpartition(scores, len(scores) - k)[len(scores) - k :]].min()
        places = np.flatnonzero(scores >= edge)
    else:
        places = np.arange(len(scores))
    places = places[scores[places] > -np.inf]
    return places[np.argsort(-scores[places], kind="stable")][:k]


def search_at(vector: np.ndarray, vectors: np.ndarray, until: np.ndarray, superseded: np.ndarray, k: int, as_of: int) -> np.ndarray:
    """Places of the `k` nearest documents that are visible at `as_of`, nearest first.

    Args:
        vector: float32 [dim], unit length.
        vectors: float32 [documents, dim], unit length.
        until: int64 [documents], ascending.
        superseded: int64 [documents].
        as_of: A document is visible iff `until < as_of <= superseded`.
    """
    end = int(np.searchsorted(until, as_of, side="left"))
    scores = np.asarray(vectors[:end]) @ vector
    scores[superseded[:end] < as_of] = -np.inf
    return best_places(scores, k)


def search_many(
    asked: np.ndarray,
    vectors: np.ndarray,
    until: np.ndarray,
    superseded: np.ndarray,
    k: int,
    as_of: Sequence[int | None],
    *,
    block: int = 256,
) -> list[np.ndarray]:
    """`search_at` for many vectors, each with its own time (None: now).

    Args:
        asked: float32 [n, dim].
        as_of: [n].
        block: Vectors at a time; a block takes about `block` × 1 MB at most, however many documents there are.

    Returns:
        For each vector, in order, the places.
    """
    # The newest documents are visible now, which is later than any time that an event has.
    times = np.array([FOREVER if time is None else time for time in as_of], dtype=np.int64)
    ends = np.searchsorted(until, times, side="left")
    out: list[np.ndarray] = [np.empty(0, dtype=np.int64)] * len(asked)
    # Questions of about the same time share a prefix.
    order = np.argsort(ends, kind="stable")
    for start in range(0, len(order), block):
        rows = order[start : start + block]
        best: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in rows]
        for first in range(0, int(ends[rows].max()), _TILE):
            part = slice(first, min(first + _TILE, int(ends[rows].max())))
            scores = asked[rows] @ np.asarray(vectors[part]).T
            scores[(until[None, part] >= times[rows, None]) | (superseded[None, part] < times[rows, None])] = -np.inf
            for found, row in zip(best, scores, strict=True):
                places = best_places(row, k)
                found.append((places + first, row[places]))
        for row, found in zip(rows, best, strict=True):
            out[int(row)] = _best_of(found, k)
    return out


def _best_of(parts: Sequence[tuple[np.ndarray, np.ndarray]], k: int) -> np.ndarray:
    """Places of the `k` highest scores of (places, scores) whose places ascend from part to part."""
    if len(parts) == 1:
        return parts[0][0]
    if not parts:
        return np.empty(0, dtype=np.int64)
    places, scores = (np.concatenate(column) for column in zip(*parts, strict=True))
    found: np.ndarray = places[best_places(scores, k)]
    return found
