"""Confidence intervals and paired tests by bootstrap over users: users, not rows, are what another sample would bring anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from score_rag.metrics.auc import auc, per_user_auc

__all__ = ["Bootstrap", "Interval"]


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval (percentiles of the bootstrap)."""

    value: float
    low: float
    high: float


class Bootstrap:
    """Resamples the users of a table, the same ones for every scorer, so that scorers can be compared in pairs.

    Args:
        user_ids: [n].
        labels: [n] of 0 and 1.
        resamples: How many draws of users, with replacement.
        seed: Of the draws.
    """

    def __init__(self, user_ids: Sequence[Any], labels: np.ndarray, *, resamples: int = 1000, seed: int = 0) -> None:
        self.user_ids = np.asarray(user_ids, dtype=object)
        self.labels = np.asarray(labels)
        names = {user: place for place, user in enumerate(dict.fromkeys(self.user_ids.tolist()))}
        self._user = np.array([names[user] for user in self.user_ids], dtype=np.int64)
        generator = np.random.default_rng(seed)
        # times[r, u]: how often draw r holds user u.
        self._times = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples).astype(np.float64)

    def auc(self, scores: np.ndarray) -> tuple[float, np.ndarray]:
        """(AUC of all rows, AUC of each draw)."""
        order = np.argsort(scores, kind="stable")
        sorted_scores, labels, user = np.asarray(scores)[order], self.labels[order], self._user[order]
        new = np.r_[True, sorted_scores[1:] != sorted_scores[:-1]]
        group = np.cumsum(new) - 1
        starts = np.flatnonzero(new)
        draws = np.empty(len(self._times))
        for place, times in enumerate(self._times):
            weight = times[user]
            positive = weight * (labels == 1)
            negative = weight - positive
            negatives = np.add.reduceat(negative, starts)
            below = np.concatenate([[0.0], np.cumsum(negatives)[:-1]])
            # A liked row beats every disliked one of a lower score, and half of those with the same.
            won = (positive * (below + 0.5 * negatives)[group]).sum()
            pairs = positive.sum() * negative.sum()
            draws[place] = won / pairs if pairs else np.nan
        return auc(self.labels, scores), draws

    def uauc(self, scores: np.ndarray) -> tuple[float, np.ndarray]:
        """(UAUC, UAUC of each draw); users with one class count in neither."""
        _, values = per_user_auc(self.user_ids, self.labels, scores)
        there = ~np.isnan(values)
        if not there.any():
            return float("nan"), np.full(len(self._times), np.nan)
        weights = self._times[:, there]
        total = weights.sum(axis=1)
        draws = np.divide(weights @ values[there], total, out=np.full(len(total), np.nan), where=total > 0)
        return float(values[there].mean()), draws

    @staticmethod
    def interval(value: float, draws: np.ndarray) -> Interval:
        """The 95 % interval of a value."""
        good = draws[~np.isnan(draws)]
        if not len(good):
            return Interval(value, float("nan"), float("nan"))
        low, high = np.percentile(good, [2.5, 97.5])
        return Interval(value, float(low), float(high))

    @staticmethod
    def p_value(draws: np.ndarray, other: np.ndarray) -> float:
        """Two-sided p of "no difference" from paired draws: twice the share on the other side of zero, never below 2 / (draws + 1)."""
        difference = draws - other
        difference = difference[~np.isnan(difference)]
        if not len(difference):
            return float("nan")
        below, above = (difference <= 0).sum() + 1, (difference >= 0).sum() + 1
        return float(min(1.0, 2 * min(below, above) / (len(difference) + 1)))
