"""Whether assessments foresee which users help: their likeness to behaviours, against how much telling each was measured to help."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from score_rag.metrics.bootstrap import Interval

__all__ = ["mean_over_users", "rank_correlations"]


def rank_correlations(similarities: Sequence[np.ndarray], gains: Sequence[np.ndarray]) -> np.ndarray:
    """Spearman's rank correlation within each question, float64 [n]; NaN with fewer than three behaviours, or where all are equal.

    Args:
        similarities: [n] arrays [Ke], of each behaviour to the assessment.
        gains: [n] arrays [Ke], how much telling it raises the log-likelihood of the true answer.

    >>> rank_correlations([np.array([0.1, 0.2, 0.9]), np.array([0.5])], [np.array([-1, 0, 5]), np.array([1])]).tolist()
    [1.0, nan]
    """
    out = np.full(len(gains), np.nan)
    for place, (like, gain) in enumerate(zip(similarities, gains, strict=True)):
        if len(gain) >= 3 and np.ptp(like) > 0 and np.ptp(gain) > 0:
            out[place] = np.corrcoef(rankdata(like), rankdata(gain))[0, 1]
    return out


def mean_over_users(values: np.ndarray, users: Sequence[str], *, resamples: int = 1000, seed: int = 0) -> Interval | None:
    """The mean of the values that are there, with its 95 % interval by bootstrap over users; None where fewer than two users have one.

    >>> found = mean_over_users(np.array([1.0, 1.0, 0.0, np.nan]), ["a", "a", "b", "c"])
    >>> round(found.value, 2), found.low, found.high
    (0.67, 0.0, 1.0)
    """
    there = ~np.isnan(values)
    known, whose = values[there], np.unique(np.asarray(users, dtype=object)[there].astype(str), return_inverse=True)[1]
    if len(known) == 0 or (count := int(whose.max()) + 1) < 2:
        return None
    sums, sizes = np.bincount(whose, weights=known, minlength=count), np.bincount(whose, minlength=count)
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    low, high = np.percentile((draws @ sums) / (draws @ sizes), [2.5, 97.5])
    return Interval(float(known.mean()), float(low), float(high))
