"""The table that every evaluation prints: scorers with AUC and UAUC, their intervals, and paired tests against a reference."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import polars as pl

from score_rag.errors import InputError, did_you_mean
from score_rag.evaluation.calibration import Calibration
from score_rag.evaluation.orders import OrderTable
from score_rag.evaluation.scorecard_row import ScorecardRow
from score_rag.metrics.bootstrap import Bootstrap
from score_rag.metrics.measures import Measured, measure, order_only

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
class Scorecard:
    """All scorers on the same rows.

    Attributes:
        title: What was evaluated.
        rows: One a scorer, in the order given.
        reference: Name of the row that the others are tested against.
        events: Number of rows scored.
        users: Users with both classes, over whom UAUC averages.
        left_out: Single-class users, for whom UAUC is undefined.
        only_liked: Those of them whose rows are all liked; the others' are all disliked.
        liked: Share of liked events.
        notes: What a reader must know.
        parts: The same scorers on parts of the rows, such as warm and cold.
        calibration: How far SCORE's probabilities mean what they say.
        orders: A ranking by SCORE beside the recommender's own order.
        made_from: Digests of what the table depends on (see `stored`).
        k: Of NDCG@k and Recall@k over each user's scored rows.
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
    only_liked: int = 0
    k: int = 10

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
        probabilities: Collection[str] = (),
        k: int = 10,
        reliability: str | None = None,
    ) -> Scorecard:
        """Make one from rows (`user_id`, `label`) and each scorer's scores [rows].

        Args:
            slices: Name to bool [rows]: parts to report by themselves; empty ones are left out.
            ranking: NDCG@10 and Recall@10 of full ranking for each user, of the scorers that ranked.
            probabilities: Scorers whose scores are P(like): they get log-loss, Brier score and calibration error.
            k: Of NDCG@k and Recall@k over each user's scored rows.
            reliability: Of which of the probabilities a reliability table is made.

        Raises:
            InputError: The reference is not among the scorers; scores are not finite, or no probabilities where they should be.
        """
        if reference is not None and reference not in scores:
            raise InputError(f"there is no scorer {reference!r} to test against", hint=did_you_mean(reference, scores))
        labels = rows["label"].to_numpy()
        bootstrap = Bootstrap(rows["user_id"], labels, resamples=resamples, seed=seed)
        taken: dict[str, Measured] = {}
        for name, values in scores.items():
            try:
                taken[name] = measure(bootstrap, values, probabilities=name in probabilities, k=k)
            except InputError as error:
                error.where = f"scorer {name}"
                raise
        out = []
        for row in _rows(taken, reference):
            found = (ranking or {}).get(row.name)
            there = found is not None and len(found.ndcg)
            out.append(replace(row, ndcg=float(found.ndcg.mean()), recall=float(found.recall.mean())) if found and there else row)
        asked = max((len(found.ndcg) for found in (ranking or {}).values()), default=0)
        told = tuple(notes)
        if ranking is not None:
            told += (
                f"NDCG@10, Recall@10: full ranking over all items that the user has not judged; {asked:,} users with a newly liked item",
            )
        chosen = {name: inside for name, inside in (slices or {}).items() if inside.any()}
        part = partial(_part, whole=bootstrap, taken=taken, reference=reference, seed=seed)
        # numpy sorts and counts without the interpreter's lock.
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as threads:
            parts = tuple(threads.map(part, chosen, chosen.values()))
        card = _card(title, tuple(out), reference, bootstrap)
        said = None if reliability is None else Calibration.of_measured(reliability, scores[reliability], labels, taken[reliability])
        return replace(card, notes=told, parts=parts, k=k, calibration=said)

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "title": self.title,
            "events": self.events,
            "users": self.users,
            "users_left_out": self.left_out,
            "users_only_liked": self.only_liked,
            "liked": round(self.liked, 4),
            "k": self.k,
            "reference": self.reference,
            "rows": [row.to_dict(ranked=self.ranked, k=self.k) for row in self.rows],
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
            taken = {"auc": row.auc, "uauc": row.uauc, "log_loss": row.log_loss, "brier": row.brier, "expected_calibration_error": row.ece}
            named = {name: None if one is None else one.value for name, one in taken.items()}
            named |= {"ndcg_at_10": row.ndcg, "recall_at_10": row.recall}
            out |= {f"{row.name}.{name}": value for name, value in named.items() if value is not None}
        return out

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Scorecard:
        """What `to_dict` gave: intervals rounded, all else as it was."""
        k = value.get("k", 10)
        rows = tuple(ScorecardRow.from_dict(row, k=k) for row in value["rows"])
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
            value.get("users_only_liked", 0),
            k,
        )

    def to_table(self) -> Table:
        """Scorers, for the screen; see `tables` for all of it."""
        from score_rag.evaluation.scorecard_table import scorecard_table

        return scorecard_table(self)

    def tables(self) -> list[Table]:
        """All of it for the screen: scorers, their further measures, parts, then ranking and reliability where they are known."""
        from score_rag.evaluation.scorecard_table import measures_table, parts_table

        more = [measures_table(self), *([parts_table(self)] if self.parts else [])]
        return [self.to_table(), *more, *(part.to_table() for part in (self.orders, self.calibration) if part is not None)]

    @property
    def ranked(self) -> bool:
        """Whether a scorer ranked the catalogue."""
        return any(row.ndcg is not None for row in self.rows)


def _rows(taken: Mapping[str, Measured], reference: str | None) -> tuple[ScorecardRow, ...]:
    base = None if reference is None else taken[reference]
    return tuple(ScorecardRow.of(name, found, None if name == reference else base) for name, found in taken.items())


def _card(title: str, rows: tuple[ScorecardRow, ...], reference: str | None, bootstrap: Bootstrap) -> Scorecard:
    liked = np.bincount(bootstrap.numbers, weights=bootstrap.labels, minlength=bootstrap.users)
    events = np.bincount(bootstrap.numbers, minlength=bootstrap.users)
    only, none = int((liked == events).sum()), int((liked == 0).sum())
    both = bootstrap.users - only - none
    return Scorecard(title, rows, reference, len(bootstrap.labels), both, only + none, float(bootstrap.labels.mean()), only_liked=only)


def _part(name: str, inside: np.ndarray, whole: Bootstrap, taken: Mapping[str, Measured], reference: str | None, *, seed: int) -> Scorecard:
    """AUC and UAUC of some of the rows; their order is known already."""
    bootstrap = whole.part(inside, seed=seed)
    return _card(
        name, _rows({scorer: order_only(bootstrap, one.ranks[inside]) for scorer, one in taken.items()}, reference), reference, bootstrap
    )
