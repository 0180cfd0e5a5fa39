"""Whether assessments foresee which users help: their likeness to behaviours, against how much telling each was measured to help."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

__all__ = ["rank_correlations"]


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
