"""Who is like whom: the top users by inner product (the paper's N(u))."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

__all__ = ["neighbours"]


def neighbours(vectors: np.ndarray, user_ids: Sequence[str], *, k: int, block: int = 1024) -> pl.DataFrame:
    """Exact top-k by inner product, in blocks of bounded memory.

    Args:
        vectors: [users, dim]; a row of zeros is somebody of whom nothing is known: neither asked for nor found.
        user_ids: One for each row.
        k: Neighbours a user (Kc); fewer where there are fewer users.
        block: Rows at a time; a block takes `block` × users × 4 bytes.

    Returns:
        `user_id`, `neighbour_id`, `rank` (1 is nearest), `similarity`; ties go to the earlier row. A user is never their own neighbour.

    >>> neighbours(np.eye(3)[[0, 0, 1]], ["a", "b", "c"], k=1).rows()
    [('a', 'b', 1, 1.0), ('b', 'a', 1, 1.0), ('c', 'a', 1, 0.0)]
    """
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    known = np.flatnonzero(np.abs(vectors).sum(axis=1) > 0)
    matrix = vectors[known]
    k = max(0, min(k, len(known) - 1))
    users, others, ranks, values = [], [], [], []
    for start in range(0, len(known), block):
        scores = matrix[start : start + block] @ matrix.T
        rows = np.arange(len(scores))
        scores[rows, rows + start] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k] if k else np.zeros((len(scores), 0), dtype=np.int64)
        users.append(np.repeat(known[start : start + block], k))
        others.append(known[order.ravel()])
        ranks.append(np.tile(np.arange(1, k + 1), len(scores)))
        values.append(np.take_along_axis(scores, order, axis=1).ravel())
    ids = np.asarray(user_ids, dtype=object)
    none = np.zeros(0, dtype=np.int64)
    return pl.DataFrame(
        {
            "user_id": pl.Series(ids[np.concatenate(users or [none])].tolist(), dtype=pl.String),
            "neighbour_id": pl.Series(ids[np.concatenate(others or [none])].tolist(), dtype=pl.String),
            "rank": np.concatenate(ranks or [none]),
            "similarity": np.concatenate(values or [none.astype(np.float32)]).astype(np.float64),
        }
    )
