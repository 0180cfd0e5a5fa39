"""Who is like whom: the top users by inner product (the paper's N(u)), exact, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from score_rag.progress import Report, silent

__all__ = ["nearest", "neighbours"]


def neighbours(vectors: np.ndarray, user_ids: Sequence[str], *, k: int, block: int = 1024, report: Report = silent) -> pl.DataFrame:
    """Exact top-k by inner product.

    Args:
        vectors: [users, dim]; a row of zeros is somebody of whom nothing is known: neither asked for nor found.
        user_ids: One for each row.
        k: Neighbours a user (Kc); fewer where there are fewer users.
        block: Users at a time, against as many others; see `nearest`.

    Returns:
        `user_id`, `neighbour_id`, `rank` (1 is nearest), `similarity`; ties go to the earlier row. A user is never their own neighbour.

    >>> neighbours(np.eye(3)[[0, 0, 1]], ["a", "b", "c"], k=1).rows()
    [('a', 'b', 1, 1.0), ('b', 'a', 1, 1.0), ('c', 'a', 1, 0.0)]
    """
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    known = np.flatnonzero(vectors.any(axis=1))
    k = max(0, min(k, len(known) - 1))
    others, values = nearest(vectors[known], k, block=block, report=report)
    ids = pl.Series(list(user_ids), dtype=pl.String)
    return pl.DataFrame(
        {
            "user_id": ids.gather(np.repeat(known, k)),
            "neighbour_id": ids.gather(known[others.ravel()]),
            "rank": np.tile(np.arange(1, k + 1), len(known)),
            "similarity": values.ravel().astype(np.float64),
        }
    )


def nearest(matrix: np.ndarray, k: int, *, block: int = 1024, report: Report = silent) -> tuple[np.ndarray, np.ndarray]:
    """For each row the `k` other rows with the largest inner product, best first, ties to the earlier row.

    Each pair of blocks is multiplied once and read both ways. A row is looked at closely only where its largest product beats the worst of
    its present top-k, which is soon rare.

    Args:
        matrix: float32 [n, dim].
        k: Less than n.
        block: Memory is n × k × 12 bytes and a few blocks of `block`² × 4 bytes.

    Returns:
        (int64 [n, k] rows, float32 [n, k] products).
    """
    n = len(matrix)
    top, rows = np.full((n, k), -np.inf, dtype=np.float32), np.zeros((n, k), dtype=np.int64)
    if not k:
        return rows, top
    for start in range(0, n, block):
        mine = matrix[start : start + block]
        # Blocks are met in ascending order by every row (as the second of a pair before it is the first), so that an equal product
        # that is met later comes from a later row, and stays out.
        for other in range(start, n, block):
            products = mine @ matrix[other : other + block].T
            if other == start:
                np.fill_diagonal(products, -np.inf)
            else:
                _take(products, start, top[other : other + block], rows[other : other + block], axis=0)
            _take(products, other, top[start : start + block], rows[start : start + block], axis=1)
        report("finding neighbours", min(start + block, n), n)
    return rows, top


def _take(products: np.ndarray, first: int, top: np.ndarray, rows: np.ndarray, *, axis: int) -> None:
    """Merge a block's products (candidates along `axis`, numbered from `first`) into the running `top` and `rows`, both sorted."""
    due = np.flatnonzero(products.max(axis=axis) > top[:, -1])
    if not len(due):
        return
    scores = products[due] if axis else np.ascontiguousarray(products[:, due].T)
    active = np.arange(len(due))
    for _ in range(top.shape[1]):
        # argmax gives the first of equals: the earliest row.
        place = scores[active].argmax(axis=1) if len(active) < len(due) else scores.argmax(axis=1)
        value = scores[active, place]
        better = value > top[due[active], -1]
        active, place, value = active[better], place[better], value[better]
        if not len(active):
            return
        target = due[active]
        scores[active, place] = -np.inf
        values, numbers = top[target], rows[target]
        values[:, -1], numbers[:, -1] = value, place + first
        order = np.argsort(-values, axis=1, kind="stable")
        top[target], rows[target] = np.take_along_axis(values, order, axis=1), np.take_along_axis(numbers, order, axis=1)
