"""How many events users and items have: quartiles and a histogram."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

__all__ = ["BINS", "Spread"]

BINS = {"1": 1, "2": 2, "3-4": 3, "5-9": 5, "10-19": 10, "20-49": 20, "50-99": 50, "100-199": 100, "200-499": 200, "500+": 500}
"""Bins of numbers of events: the bin's name to the least number in it."""


@dataclass(frozen=True)
class Spread:
    """How many events each user (or item) has, over those that have any; quartiles are interpolated.

    >>> spread = Spread.of(np.array([1, 2, 4, 9]))
    >>> spread.q1, spread.median, spread.mean, spread.histogram["3-4"]
    (1.75, 3.0, 4.0, 1)
    """

    min: int
    q1: float
    median: float
    q3: float
    mean: float
    max: int
    histogram: Mapping[str, int]

    @classmethod
    def of(cls, counts: np.ndarray) -> Spread:
        """From counts [users], each at least 1."""
        q1, median, q3 = np.quantile(counts, (0.25, 0.5, 0.75)).tolist()
        binned = np.bincount(np.searchsorted(list(BINS.values()), counts, side="right") - 1, minlength=len(BINS))
        return cls(
            int(counts.min()), q1, median, q3, float(counts.mean()), int(counts.max()), dict(zip(BINS, binned.tolist(), strict=True))
        )
