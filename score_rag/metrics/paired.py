"""Paired tests of two scorers on the same rows: a permutation test that swaps them user by user, and Holm's correction for many tests.

If two scorers are equally good, it makes no difference which of the two answered for a user. Swapping changes the difference of a
measure by each user's part of it, with its sign turned: so all swaps together are random signs times one number a user. For AUC this is
exact too: scores are first replaced by their ranks, so that both are on one scale, and the terms of two swapped users cancel.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from score_rag.metrics.order import OfUsers, placements

__all__ = ["auc_parts", "holm", "mean_parts", "sign_test", "uauc_parts"]

_BLOCK = 8_000_000


def auc_parts(labels: np.ndarray, ranks: np.ndarray, others: np.ndarray, users: np.ndarray, count: int) -> np.ndarray:
    """[users]: each user's part of the first scorer's AUC less the second's, as a swap turns it; they sum to the difference.

    Args:
        labels: [n] of 0 and 1.
        ranks: int64 [n], of `ranks_of`, of the first scorer.
        others: The same of the second.
        users: int64 [n], each row's user, below `count`.
    """
    together = placements(np.concatenate([labels, labels]), np.concatenate([_middles(ranks), _middles(others)]))
    first, second = np.split(together, 2)
    liked = labels == 1
    sizes = np.where(liked, max(1, int(liked.sum())), max(1, int((~liked).sum())))
    return np.bincount(users, weights=(first - second) / sizes, minlength=count)


def uauc_parts(first: OfUsers, second: OfUsers) -> np.ndarray:
    """[users]: the same of UAUC; 0 for users with one class."""
    there = ~np.isnan(first.auc)
    return np.where(there, first.auc - second.auc, 0.0) / max(1, int(there.sum()))


def mean_parts(first: np.ndarray, second: np.ndarray, users: np.ndarray, count: int) -> np.ndarray:
    """[users]: the same of a mean over rows, of one value a row [n] such as log-loss."""
    return np.bincount(users, weights=(first - second) / max(1, len(users)), minlength=count)


def sign_test(parts: np.ndarray, *, permutations: int = 10_000, seed: int = 0) -> np.ndarray:
    """Two-sided p of each column of parts [users, tests], by random signs of users; never below 1 / (permutations + 1).

    >>> sign_test(np.array([[1.0, 1.0], [1.0, -1.0]] * 10), permutations=999).round(2).tolist()
    [0.0, 1.0]
    """
    generator = np.random.default_rng(seed)
    found = np.abs(parts.sum(axis=0))
    # Sums that differ by rounding alone are equal.
    least = found - 1e-12 * np.abs(parts).sum(axis=0)
    reached = np.zeros(parts.shape[1])
    block = max(1, _BLOCK // max(1, len(parts)))
    for start in range(0, permutations, block):
        signs = generator.integers(0, 2, (min(block, permutations - start), len(parts)), dtype=np.int8).astype(np.float64) * 2 - 1
        reached += (np.abs(signs @ parts) >= least).sum(axis=0)
    p: np.ndarray = (1 + reached) / (permutations + 1)
    return p


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """P-values corrected for their number (Holm, 1979): below alpha with at most that chance that any true "no difference" is.

    Undefined ones (nan) stay so and do not count.

    >>> holm([0.01, 0.04, 0.03, float("nan")]).round(4).tolist()
    [0.03, 0.06, 0.06, nan]
    """
    p = np.asarray(p_values, dtype=np.float64)
    out = np.full(len(p), np.nan)
    order = np.argsort(p)[: int((~np.isnan(p)).sum())]
    out[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * (len(order) - np.arange(len(order)))))
    return out


def _middles(ranks: np.ndarray) -> np.ndarray:
    """int64 [n]: twice the mean of the places that rows of one rank share, so that two scorers' are on one scale."""
    counts = np.bincount(ranks)
    middles: np.ndarray = (2 * np.cumsum(counts) - counts)[ranks]
    return middles
