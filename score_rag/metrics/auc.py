"""AUC over all rows, and UAUC: the unweighted mean over users of their own AUC (METHOD: CoLLM's protocol)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from score_rag.errors import InputError

__all__ = ["Uauc", "auc", "log_loss", "per_user_auc", "uauc"]


class Uauc(NamedTuple):
    """Mean per-user AUC, over how many users, and how many had only one class and so none."""

    value: float
    users: int
    left_out: int


def auc(labels: Any, scores: Any) -> float:
    """Share of (liked, disliked) pairs in the right order, ties counting half.

    Args:
        labels: [n] of 0 and 1.
        scores: [n], higher means liked.

    Returns:
        0..1, or nan where one class is missing.

    Raises:
        InputError: Lengths differ, or a score is not a finite number.

    >>> auc([0, 1, 0, 1], [0.1, 0.4, 0.4, 0.8]) == (1 + 1 + 0.5 + 1) / 4
    True
    """
    labels, scores = _checked(labels, scores)
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return float("nan")
    ranks = _mean_ranks(scores)
    return float((ranks[labels == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def per_user_auc(user_ids: Sequence[Any] | np.ndarray, labels: Any, scores: Any) -> tuple[np.ndarray, np.ndarray]:
    """(users, their AUCs), users in order of first appearance; nan where one class is missing."""
    labels, scores = _checked(labels, scores)
    users = np.asarray(user_ids, dtype=object)
    first: dict[Any, list[int]] = {}
    for place, user in enumerate(users):
        first.setdefault(user, []).append(place)
    values = [auc(labels[places], scores[places]) for places in first.values()]
    return np.array(list(first), dtype=object), np.array(values)


def uauc(user_ids: Sequence[Any] | np.ndarray, labels: Any, scores: Any) -> Uauc:
    """Unweighted mean of per-user AUCs; users with one class are left out and counted.

    >>> uauc(["a", "a", "b", "b", "c"], [0, 1, 1, 0, 1], [0.1, 0.9, 0.2, 0.3, 0.5])
    Uauc(value=0.5, users=2, left_out=1)
    """
    _, values = per_user_auc(user_ids, labels, scores)
    there = ~np.isnan(values)
    value = float(values[there].mean()) if there.any() else float("nan")
    return Uauc(value, int(there.sum()), int((~there).sum()))


def log_loss(labels: Any, probabilities: Any) -> float:
    """Mean negative log-likelihood in nats, of probabilities kept 1e-7 away from 0 and 1."""
    labels, probabilities = _checked(labels, probabilities)
    safe = np.clip(probabilities, 1e-7, 1 - 1e-7)
    return float(-(labels * np.log(safe) + (1 - labels) * np.log(1 - safe)).mean())


def _mean_ranks(scores: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal scores share the mean of theirs."""
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    ranks: np.ndarray = (last - (count - 1) / 2)[place]
    return ranks


def _checked(labels: Any, scores: Any) -> tuple[np.ndarray, np.ndarray]:
    labels, scores = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if labels.shape != scores.shape or labels.ndim != 1:
        raise InputError(
            "labels and scores do not fit together", expected="two rows of one length", found=f"{labels.shape}, {scores.shape}"
        )
    if not np.isin(labels, (0, 1)).all():
        raise InputError("labels must be 0 or 1", found=sorted(set(labels.tolist()))[:5])
    if not np.isfinite(scores).all():
        raise InputError("scores must be finite numbers", found=f"{int((~np.isfinite(scores)).sum())} that are not")
    return labels, scores
