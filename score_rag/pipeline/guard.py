"""Whether a predictor is worth being asked: compared on validation events with what it must not be worse than.

A language model that orders events worse than the recommender inside its own pipeline helps nobody. So the stage that trains it compares
the two, says in red where it is worse, and a ranking then keeps the recommender's order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from score_rag.files import read_json, write_json
from score_rag.metrics.auc import log_loss
from score_rag.metrics.bootstrap import Bootstrap
from score_rag.pipeline.routes import OrderedBy
from score_rag.predictor.calibration import fit_calibration

__all__ = ["Compared", "Guard", "compare"]

PREDICTOR = "predictor"


@dataclass(frozen=True)
class Compared:
    """One scorer on the validation events.

    Attributes:
        log_loss: Of its scores as logits, calibrated as suits them best; None where they are no logits.
        auc_gain: 95 % interval of the predictor's AUC less this one's, paired over users; None for the predictor.
        uauc_gain: The same of UAUC.
    """

    name: str
    auc: float
    uauc: float
    log_loss: float | None = None
    auc_gain: tuple[float, float] | None = None
    uauc_gain: tuple[float, float] | None = None

    @property
    def better(self) -> bool:
        """Whether it is better than the predictor beyond chance, in AUC or UAUC."""
        return any(gain is not None and gain[1] < 0 for gain in (self.auc_gain, self.uauc_gain))


@dataclass(frozen=True)
class Guard:
    """What was found when the predictor was trained.

    Attributes:
        rows: The predictor first, then what it must not be worse than: the recommender of the pipeline, and others.
        events: Validation events.
        ndcg: NDCG@10 of a ranking by the predictor and of the recommender's own order, where both were measured.
        adapter: Whether a LoRA adapter is served; without, no epoch of it was better than the base alone.
    """

    rows: tuple[Compared, ...] = ()
    events: int = 0
    ndcg: tuple[float, float] | None = None
    adapter: bool = True

    @property
    def worse_than(self) -> list[str]:
        """Names of what is better than the predictor beyond chance."""
        return [row.name for row in self.rows if row.better]

    @property
    def route(self) -> OrderedBy:
        """Whose order a ranking has: the recommender's where it judges better beyond chance, or orders its candidates better.

        What else is better than the predictor is told in `warnings`; it does not order.
        """
        judges_better = len(self.rows) > 1 and self.rows[1].better
        orders_better = self.ndcg is not None and self.ndcg[0] < self.ndcg[1]
        return "recommender" if judges_better or orders_better else "predictor"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What everybody who reads an answer should know; nothing where all is well."""
        if not self.worse_than:
            return ()
        own = self.rows[0]
        better = [f"{row.name} {row.auc:.3f}/{row.uauc:.3f}" for row in self.rows if row.better]
        return (
            f"on {self.events:,} validation events the predictor (AUC/UAUC {own.auc:.3f}/{own.uauc:.3f}) is worse than "
            f"{', '.join(better)}: trust the recommender's order more than this probability",
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON, what follows from it included."""
        found = asdict(self)
        return {**found, "worse_than": self.worse_than, "route": self.route, "warnings": list(self.warnings)}

    def write(self, folder: Path) -> None:
        """Write `guard.json`."""
        write_json(folder / "guard.json", self.to_dict())

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What `write` wrote; nothing is known of a predictor that was never compared."""
        if not (folder / "guard.json").is_file():
            return cls()
        found = read_json(folder / "guard.json")
        pairs = ("auc_gain", "uauc_gain")
        rows = tuple(Compared(**{**row, **{name: tuple(row[name]) if row[name] else None for name in pairs}}) for row in found["rows"])
        return cls(rows, found["events"], tuple(found["ndcg"]) if found["ndcg"] else None, found["adapter"])


def compare(
    user_ids: Sequence[str],
    labels: np.ndarray,
    predictor: np.ndarray,
    others: Mapping[str, np.ndarray],
    *,
    ndcg: tuple[float, float] | None = None,
    adapter: bool = True,
    seed: int = 0,
    resamples: int = 500,
) -> Guard:
    """Compare a predictor's logits with other scores of the same events.

    Args:
        user_ids: [n].
        labels: [n] of 0 and 1.
        predictor: [n] logits.
        others: By name, [n] scores, higher is better.
    """
    bootstrap = Bootstrap(user_ids, labels, resamples=resamples, seed=seed)
    own = bootstrap.auc(predictor), bootstrap.uauc(predictor)
    rows = [Compared(PREDICTOR, own[0][0], _finite(own[1][0]), _log_loss(predictor, labels))]
    for name, scores in others.items():
        theirs = bootstrap.auc(scores), bootstrap.uauc(scores)
        gains = [_interval(mine[1] - other[1]) for mine, other in zip(own, theirs, strict=True)]
        rows.append(Compared(name, theirs[0][0], _finite(theirs[1][0]), _log_loss(scores, labels), *gains))
    return Guard(tuple(rows), len(labels), ndcg, adapter)


def _interval(draws: np.ndarray) -> tuple[float, float] | None:
    good = draws[~np.isnan(draws)]
    return (float(np.percentile(good, 2.5)), float(np.percentile(good, 97.5))) if len(good) else None


def _finite(value: float) -> float:
    return value if np.isfinite(value) else 0.5


def _log_loss(scores: np.ndarray, labels: np.ndarray) -> float:
    """Of scores as logits; shares (all within 0 to 1) are turned into logits first."""
    if len(scores) and scores.min() >= 0 and scores.max() <= 1:
        safe = np.clip(scores, 1e-6, 1 - 1e-6)
        scores = np.log(safe / (1 - safe))
    return log_loss(labels, fit_calibration(scores, labels).probabilities(scores))
