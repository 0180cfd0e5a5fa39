"""NDCG@k and Recall@k of recommended items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["Ranked", "ndcg_and_recall"]


class Ranked(NamedTuple):
    """Per user, in order of the task's users: NDCG@k and Recall@k."""

    ndcg: np.ndarray
    recall: np.ndarray


def ndcg_and_recall(tops: Sequence[np.ndarray], relevant: Sequence[np.ndarray], k: int) -> Ranked:
    """NDCG@k (binary gain, ideal over min(k, relevant)) and Recall@k (found / relevant) of recommended places, best first.

    >>> found = ndcg_and_recall([np.array([3, 1])], [np.array([1, 2])], 2)
    >>> bool(found.ndcg[0] == (1 / np.log2(3)) / (1 + 1 / np.log2(3))), float(found.recall[0])
    (True, 0.5)
    """
    gain = 1 / np.log2(np.arange(k) + 2)
    ndcg, recall = np.zeros(len(tops)), np.zeros(len(tops))
    for number, (top, right) in enumerate(zip(tops, relevant, strict=True)):
        hit = np.isin(top[:k], right)
        ndcg[number] = (hit * gain[: len(hit)]).sum() / gain[: min(k, len(right))].sum()
        recall[number] = hit.sum() / len(right)
    return Ranked(ndcg, recall)
