"""The table that every evaluation prints: scorers with AUC and UAUC, their intervals, and paired tests against a reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import polars as pl

from score_rag.errors import InputError, did_you_mean
from score_rag.evaluation.calibration import Calibration
from score_rag.evaluation.intervals import known, rounded, unrounded
from score_rag.evaluation.orders import OrderTable
from score_rag.metrics.auc import uauc
from score_rag.metrics.bootstrap import Bootstrap, Interval

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Ranking", "Scorecard", "ScorecardRow"]


class Ranking(Protocol):
    """Values of full ranking, one a user."""

    @property
    def ndcg(self) -> np.ndarray: ...

    @property
    def recall(self) -> np.ndarray: ...


@dataclass(frozen=True)
class ScorecardRow:
    """One scorer; p-values are of its difference from the reference, None for the reference itself or without one.

    NDCG@10 and Recall@10 are of full ranking; None where the scorer did not rank.
    """

    name: str
    auc: Interval
    uauc: Interval
    auc_p: float | None = None
    uauc_p: float | None = None
    ndcg: float | None = None
    recall: float | None = None


@dataclass(frozen=True)
class Scorecard:
    """All scorers on the same rows.

    Attributes:
        title: What was evaluated.
        rows: One a scorer, in the order given.
        reference: Name of the row that the others are tested against.
        events: Number of rows scored.
        users: Users with both classes, over whom UAUC averages.
        left_out: Single-class users, for whom UAUC is undefined.
        liked: Share of liked events.
        notes: What a reader must know.
        parts: The same scorers on parts of the rows, such as warm and cold.
        calibration: How far SCORE's probabilities mean what they say.
        orders: A ranking by SCORE beside the recommender's own order.
        made_from: Digests of what the table depends on (see `stored`).
    """

    title: str
    rows: tuple[ScorecardRow, ...]
    reference: str | None
    events: int
    users: int
    left_out: int
    liked: float
    notes: tuple[str, ...] = ()
    parts: tuple[Scorecard, ...] = ()
    calibration: Calibration | None = None
    orders: OrderTable | None = None
    made_from: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_scores(
        cls,
        rows: pl.DataFrame,
        scores: Mapping[str, np.ndarray],
        *,
        reference: str | None = None,
        resamples: int = 1000,
        seed: int = 0,
        title: str = "",
        notes: Sequence[str] = (),
        slices: Mapping[str, np.ndarray] | None = None,
        ranking: Mapping[str, Ranking] | None = None,
    ) -> Scorecard:
        """Make one from rows (`user_id`, `label`) and each scorer's scores [rows].

        Args:
            slices: Name to bool [rows]: parts to report by themselves; empty ones are left out.
            ranking: NDCG@10 and Recall@10 of full ranking for each user, of the scorers that ranked.

        Raises:
            InputError: The reference is not among the scorers.
        """
        if reference is not None and reference not in scores:
            raise InputError(f"there is no scorer {reference!r} to test against", hint=did_you_mean(reference, scores))
        labels = rows["label"].to_numpy()
        users = rows["user_id"].to_list()
        bootstrap = Bootstrap(users, labels, resamples=resamples, seed=seed)
        drawn = {name: (bootstrap.auc(values), bootstrap.uauc(values)) for name, values in scores.items()}
        base = drawn.get(reference) if reference is not None else None
        out = []
        for name, (whole, own) in drawn.items():
            found = (ranking or {}).get(name)
            other = base if base is not None and name != reference else None
            out.append(
                ScorecardRow(
                    name,
                    bootstrap.interval(*whole),
                    bootstrap.interval(*own),
                    None if other is None else bootstrap.p_value(whole[1], other[0][1]),
                    None if other is None else bootstrap.p_value(own[1], other[1][1]),
                    None if found is None or not len(found.ndcg) else float(found.ndcg.mean()),
                    None if found is None or not len(found.recall) else float(found.recall.mean()),
                )
            )
        counted = uauc(users, labels, np.zeros(len(labels)))
        parts = tuple(
            cls.from_scores(
                rows.filter(pl.Series(inside)),
                {scorer: values[inside] for scorer, values in scores.items()},
                reference=reference,
                resamples=resamples,
                seed=seed,
                title=name,
            )
            for name, inside in (slices or {}).items()
            if inside.any()
        )
        asked = max((len(found.ndcg) for found in (ranking or {}).values()), default=0)
        told = tuple(notes)
        if ranking is not None:
            told += (
                f"NDCG@10, Recall@10: full ranking over all items that the user has not judged; {asked:,} users with a newly liked item",
            )
        return cls(title, tuple(out), reference, len(rows), counted.users, counted.left_out, float(labels.mean()), told, parts)

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "title": self.title,
            "events": self.events,
            "users": self.users,
            "users_left_out": self.left_out,
            "liked": round(self.liked, 4),
            "reference": self.reference,
            "rows": [
                {
                    "name": row.name,
                    "auc": rounded(row.auc),
                    "uauc": rounded(row.uauc),
                    "auc_p": known(row.auc_p),
                    "uauc_p": known(row.uauc_p),
                    **({"ndcg@10": row.ndcg, "recall@10": row.recall} if self.ranked else {}),
                }
                for row in self.rows
            ],
            "notes": list(self.notes),
            "parts": [part.to_dict() for part in self.parts],
            **({"calibration": self.calibration.to_dict()} if self.calibration is not None else {}),
            **({"ranking": self.orders.to_dict()} if self.orders is not None else {}),
            **({"made_from": dict(self.made_from)} if self.made_from else {}),
        }

    def metrics(self) -> dict[str, float]:
        """Every value by name (`SCORE.auc`), for trackers of experiments; nan where it is undefined."""
        out: dict[str, float] = {}
        for row in self.rows:
            named = {"auc": row.auc.value, "uauc": row.uauc.value, "ndcg_at_10": row.ndcg, "recall_at_10": row.recall}
            out |= {f"{row.name}.{name}": value for name, value in named.items() if value is not None}
        if self.calibration is not None:
            out |= {"SCORE.log_loss": self.calibration.log_loss, "SCORE.expected_calibration_error": self.calibration.error}
        return out

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Scorecard:
        """What `to_dict` gave: intervals rounded, all else as it was."""
        rows = tuple(
            ScorecardRow(
                row["name"],
                unrounded(row["auc"]),
                unrounded(row["uauc"]),
                row["auc_p"],
                row["uauc_p"],
                row.get("ndcg@10"),
                row.get("recall@10"),
            )
            for row in value["rows"]
        )
        calibration, orders = value.get("calibration"), value.get("ranking")
        return cls(
            value["title"],
            rows,
            value["reference"],
            value["events"],
            value["users"],
            value["users_left_out"],
            value["liked"],
            tuple(value["notes"]),
            tuple(cls.from_dict(part) for part in value["parts"]),
            None if calibration is None else Calibration.from_dict(calibration),
            None if orders is None else OrderTable.from_dict(orders),
            value.get("made_from", {}),
        )

    def to_table(self) -> Table:
        """Scorers, for the screen; see `tables` for all of it."""
        from score_rag.evaluation.scorecard_table import scorecard_table

        return scorecard_table(self)

    def tables(self) -> list[Table]:
        """All of it for the screen: scorers, then ranking and reliability where they are known."""
        return [self.to_table(), *(part.to_table() for part in (self.orders, self.calibration) if part is not None)]

    @property
    def ranked(self) -> bool:
        """Whether a scorer ranked the catalogue."""
        return any(row.ndcg is not None for row in self.rows)
