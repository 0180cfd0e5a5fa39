"""How far probabilities mean what they say: log-loss, expected calibration error, and the reliability table behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from score_rag.metrics.auc import log_loss
from score_rag.metrics.measures import Measured
from score_rag.metrics.probability import Bin, calibration_error, reliability

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Calibration"]


@dataclass(frozen=True)
class Calibration:
    """Probabilities beside what came true.

    Attributes:
        log_loss: Mean negative log-likelihood, nats.
        error: Expected calibration error over `bins`.
        bins: Of about equal numbers of questions, lowest probabilities first.
        name: The scorer.
    """

    log_loss: float
    error: float
    bins: tuple[Bin, ...]
    name: str = "SCORE"

    @classmethod
    def of(cls, probabilities: np.ndarray, labels: np.ndarray, *, bins: int = 10, name: str = "SCORE") -> Self:
        """Compare probabilities [n] with labels [n] of 0 and 1.

        >>> found = Calibration.of(np.array([0.25, 0.25, 0.75, 0.75]), np.array([0, 1, 1, 1]), bins=2)
        >>> round(found.error, 4), found.bins[1]
        (0.25, Bin(questions=2, said=0.75, liked=1.0))
        """
        found = tuple(reliability(probabilities, labels, bins=bins))
        return cls(log_loss(labels, probabilities), calibration_error(probabilities, labels, bins=bins), found, name)

    @classmethod
    def of_measured(cls, name: str, probabilities: np.ndarray, labels: np.ndarray, measured: Measured) -> Self:
        """The same of what was measured and sorted already."""
        bins = tuple(reliability(probabilities, labels, ranks=measured.ranks))
        return cls(measured.values["log_loss"][0], measured.values["ece"][0], bins, name)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "log_loss": round(self.log_loss, 5),
            "expected_calibration_error": round(self.error, 5),
            "reliability": [{"questions": one.questions, "said": round(one.said, 5), "liked": round(one.liked, 5)} for one in self.bins],
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """What `to_dict` gave."""
        bins = tuple(Bin(**one) for one in value["reliability"])
        return cls(value["log_loss"], value["expected_calibration_error"], bins, value.get("name", "SCORE"))

    def to_table(self) -> Table:
        """For the screen."""
        from score_rag.evaluation.screen_table import screen_table

        title = f"reliability of {self.name}: log-loss {self.log_loss:.4f}, expected calibration error {self.error:.4f}"
        table = screen_table(title, "", ("questions", "predicted", "liked"))
        for one in self.bins:
            table.add_row(f"{one.questions:,}", f"{one.said:.3f}", f"{one.liked:.3f}")
        return table
