"""What each variant loses against the full system: paired intervals over users, tests corrected for their number, and costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from score_rag.evaluation.ablate.cost import Cost
from score_rag.evaluation.ablate.results import Result
from score_rag.evaluation.ablate.variants import FULL, Variant
from score_rag.evaluation.intervals import known, rounded, unrounded
from score_rag.metrics.auc import uauc
from score_rag.metrics.bootstrap import Bootstrap, Interval
from score_rag.metrics.paired import holm
from score_rag.metrics.probability import log_losses

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["METRICS", "AblationRow", "AblationTable", "Measured", "draws_of"]

METRICS = ("auc", "uauc", "log_loss")


@dataclass(frozen=True)
class Measured:
    """One metric of one variant.

    Attributes:
        value: With its 95 % interval.
        gain: The variant's less the full system's, paired over users; None for the full system.
        p: Of "no difference", corrected for the number of variants (Holm).
    """

    value: Interval
    gain: Interval | None = None
    p: float | None = None


@dataclass(frozen=True)
class AblationRow:
    """One variant; without metrics where it failed."""

    variant: Variant
    metrics: Mapping[str, Measured]
    cost: Cost | None
    failed: str = ""
    same_as: str = ""


@dataclass(frozen=True)
class AblationTable:
    """All variants on the same rows, the full system first.

    Attributes:
        events: Rows scored.
        users: Users with both classes, over whom UAUC averages.
        made_from: Digests of what the table depends on.
    """

    title: str
    rows: tuple[AblationRow, ...]
    events: int
    users: int
    notes: tuple[str, ...]
    made_from: Mapping[str, Any]

    @classmethod
    def from_results(
        cls,
        user_ids: Sequence[str],
        labels: np.ndarray,
        results: Mapping[Variant, Result],
        *,
        title: str = "",
        notes: Sequence[str] = (),
        resamples: int = 1000,
        seed: int = 0,
        made_from: Mapping[str, Any] | None = None,
    ) -> Self:
        """Compare.

        Args:
            user_ids: [n].
            labels: [n] of 0 and 1.
            results: Scores [n] of each variant, `FULL` among them.
        """
        bootstrap = Bootstrap(user_ids, labels, resamples=resamples, seed=seed)
        drawn = {variant: draws_of(bootstrap, found.scores) for variant, found in results.items() if found.scores is not None}
        others = [variant for variant in drawn if variant != FULL and not results[variant].same_as]
        full = drawn[FULL]
        corrected = {
            metric: dict(zip(others, holm([bootstrap.p_value(drawn[one][metric][1], full[metric][1]) for one in others]), strict=True))
            for metric in METRICS
        }
        rows = []
        for variant, found in results.items():
            measured = {}
            for metric, (value, draws) in drawn.get(variant, {}).items():
                gain = None if variant == FULL else bootstrap.interval(value - full[metric][0], draws - full[metric][1])
                measured[metric] = Measured(bootstrap.interval(value, draws), gain, corrected[metric].get(variant))
            rows.append(AblationRow(variant, measured, found.cost, found.failed, found.same_as))
        counted = uauc(user_ids, labels, np.zeros(len(labels)))
        return cls(title, tuple(rows), len(labels), counted.users, tuple(notes), made_from or {})

    def metrics(self) -> dict[str, float]:
        """Every value by name (`no-ci.auc`), for trackers of experiments."""
        return {f"{row.variant.name}.{name}": found.value.value for row in self.rows for name, found in row.metrics.items()}

    @property
    def failed(self) -> list[str]:
        """Names of the variants that failed."""
        return [row.variant.name for row in self.rows if row.failed]

    def noted(self, notes: Sequence[str]) -> Self:
        """The table with further notes."""
        return replace(self, notes=(*self.notes, *notes))

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "kind": "ablation",
            "title": self.title,
            "events": self.events,
            "users": self.users,
            "rows": [_row(row) for row in self.rows],
            "notes": list(self.notes),
            "made_from": dict(self.made_from),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """What `to_dict` gave, as far as a table shows it: of a variant its name, group and words."""
        rows = tuple(_read_row(row) for row in value["rows"])
        return cls(value["title"], rows, value["events"], value["users"], tuple(value["notes"]), value["made_from"])

    def tables(self) -> list[Table]:
        """For the screen."""
        from score_rag.evaluation.ablate.screen import cost_table, quality_table

        return [quality_table(self), cost_table(self)]


def _row(row: AblationRow) -> dict[str, Any]:
    variant = row.variant
    told: dict[str, Any] = {"name": variant.name, "group": variant.group, "told": variant.told, "trained": variant.trained}
    for name, found in row.metrics.items():
        gain = None if found.gain is None else rounded(found.gain)
        told[name] = {"value": rounded(found.value), "gain": gain, "p_holm": known(found.p)}
    cost = None if row.cost is None else row.cost.to_dict()
    return {**told, "cost": cost, **({"failed": row.failed} if row.failed else {}), **({"same_as": row.same_as} if row.same_as else {})}


def _read_row(told: Mapping[str, Any]) -> AblationRow:
    variant = Variant(told["name"], told["group"], told["told"], trained=told["trained"])
    metrics = {
        name: Measured(unrounded(found["value"]), None if found["gain"] is None else unrounded(found["gain"]), found["p_holm"])
        for name in METRICS
        if (found := told.get(name)) is not None
    }
    cost = None if told["cost"] is None else Cost(**told["cost"])
    return AblationRow(variant, metrics, cost, told.get("failed", ""), told.get("same_as", ""))


def draws_of(bootstrap: Bootstrap, scores: np.ndarray) -> dict[str, tuple[float, np.ndarray]]:
    """By metric, its value and that of each draw of users."""
    losses = bootstrap.mean_of_rows(log_losses(bootstrap.labels, scores))
    return {"auc": bootstrap.auc(scores), "uauc": bootstrap.uauc(scores), "log_loss": losses}
