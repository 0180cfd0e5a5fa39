"""A number as a prompt tells it: a word, a level of 0 to 99, and the number itself.

Levels are percentiles of the training questions' numbers, fitted once and stored with the predictor, so that a word means the same in
training and in serving. Small models read a word; language models read any of the three.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np

__all__ = ["UNKNOWN", "WORDS", "Fact", "Levels"]

WORDS = ("hopeless", "awful", "bad", "weak", "dull", "fair", "decent", "good", "great", "perfect")
"""One for each tenth of the training questions, lowest first."""


class Fact(NamedTuple):
    """One number about a question.

    Attributes:
        word: One of `WORDS`, or "unknown".
        level: 0 to 99 as two digits, the percentile among training questions; "??" where nothing is known.
        value: The number itself; None where nothing is known.
    """

    word: str
    level: str
    value: float | None

    def __str__(self) -> str:
        return self.word


UNKNOWN = Fact("unknown", "??", None)


class Levels:
    """Percentiles of each kind of number.

    Args:
        cuts: By kind, 99 ascending cuts between percentiles; a kind without any is always unknown.
    """

    def __init__(self, cuts: Mapping[str, np.ndarray]) -> None:
        self.cuts = {kind: np.asarray(values, dtype=np.float64) for kind, values in cuts.items()}

    @classmethod
    def fit(cls, values: Mapping[str, np.ndarray]) -> Self:
        """From the numbers of training questions, by kind [n each]; nan is unknown and left out.

        >>> levels = Levels.fit({"mood": np.arange(200.0)})
        >>> levels.fact("mood", 101.0), levels.fact("mood", -5.0).word, str(levels.fact("mood", float("nan")))
        (Fact(word='fair', level='50', value=101.0), 'hopeless', 'unknown')
        """
        out = {}
        for kind, column in values.items():
            there = column[~np.isnan(column)]
            out[kind] = np.quantile(there, np.arange(1, 100) / 100) if len(there) else np.zeros(0)
        return cls(out)

    def fact(self, kind: str, value: float) -> Fact:
        """What is told of a number; unknown where it is nan, or where the kind was never seen in training."""
        return self.facts(kind, np.array([value]))[0]

    def facts(self, kind: str, values: np.ndarray) -> list[Fact]:
        """`fact` for many numbers [n]."""
        cuts = self.cuts.get(kind)
        if cuts is None or not len(cuts):
            return [UNKNOWN] * len(values)
        places = np.searchsorted(cuts, values, side="right")
        return [
            UNKNOWN if value != value else Fact(WORDS[place // 10], f"{place:02d}", value)  # only nan differs from itself
            for place, value in zip(places.tolist(), values.tolist(), strict=True)
        ]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {kind: cuts.tolist() for kind, cuts in self.cuts.items()}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """What `to_dict` gave."""
        return cls({kind: np.array(cuts) for kind, cuts in value.items()})
