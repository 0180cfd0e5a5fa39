"""AUC over all rows, and UAUC: the unweighted mean over users of their own AUC (METHOD: CoLLM's protocol)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from score_rag.metrics.order import auc_of_ranks, checked, of_users, ranks_of, user_numbers

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
    labels, scores = checked(labels, scores)
    return auc_of_ranks(labels, ranks_of(scores))


def per_user_auc(user_ids: Sequence[Any] | np.ndarray, labels: Any, scores: Any) -> tuple[np.ndarray, np.ndarray]:
    """(users, their AUCs), users in order of first appearance; nan where one class is missing."""
    labels, scores = checked(labels, scores)
    numbers, users = user_numbers(user_ids)
    return np.array(users, dtype=object), of_users(numbers, len(users), labels, ranks_of(scores)).auc


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
    from score_rag.metrics.probability import log_losses

    labels, probabilities = checked(labels, probabilities)
    return float(log_losses(labels, probabilities).mean())
