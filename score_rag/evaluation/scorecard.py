"""The table that every evaluation prints: scorers with AUC and UAUC, their intervals, and paired tests against a reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import polars as pl

from score_rag.errors import InputError, did_you_mean
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
                    "auc": _rounded(row.auc),
                    "uauc": _rounded(row.uauc),
                    "auc_p": _there(row.auc_p),
                    "uauc_p": _there(row.uauc_p),
                    **({"ndcg@10": row.ndcg, "recall@10": row.recall} if self._ranked else {}),
                }
                for row in self.rows
            ],
            "notes": list(self.notes),
            "parts": [part.to_dict() for part in self.parts],
        }

    def to_table(self) -> Table:
        """For the screen."""
        from rich import box
        from rich.table import Table

        table = Table(
            title=self.title,
            caption=self._caption(),
            caption_justify="left",
            title_justify="left",
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
        )
        for column, justify in (("scorer", "left"), ("AUC", "right"), ("95 %", "right"), ("UAUC", "right"), ("95 %", "right")):
            table.add_column(column, justify=justify, no_wrap=column != "scorer")  # type: ignore[arg-type]  # the words are rich's own
        if self.reference is not None:
            table.add_column("p", justify="right", no_wrap=True)
        if self._ranked:
            table.add_column("NDCG", justify="right")
            table.add_column("Recall", justify="right")
        for card in (self, *self.parts):
            if card is not self:
                table.add_section()
                table.add_row(f"[bold]{card.title}: {card.events:,} events[/]")
            for row in card.rows:
                table.add_row(*card._cells(row), *([_rank(row.ndcg), _rank(row.recall)] if card._ranked else []))
        return table

    @property
    def _ranked(self) -> bool:
        return any(row.ndcg is not None for row in self.rows)

    def _cells(self, row: ScorecardRow) -> list[str]:
        cells = [row.name]
        for found in (row.auc, row.uauc):
            cells += [_short(found.value), f"{_short(found.low)}-{_short(found.high)}"]
        if self.reference is not None:
            cells.append("reference" if row.name == self.reference else f"{_p(row.auc_p)} / {_p(row.uauc_p)}")
        return cells

    def _caption(self) -> str:
        first = (
            f"{self.events:,} events, {self.liked:.1%} liked; UAUC over {self.users:,} users, {self.left_out:,} with one class excluded; "
            "95 % CI by bootstrap over users"
        )
        if self.reference is not None:
            first += f"; p (AUC / UAUC): paired bootstrap test against {self.reference}"
        return "\n".join([first, *self.notes])


def _rounded(found: Interval) -> dict[str, float | None]:
    return {name: None if np.isnan(value) else round(value, 5) for name, value in vars(found).items()}


def _there(value: float | None) -> float | None:
    """JSON has no NaN."""
    return None if value is None or np.isnan(value) else value


def _short(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.4f}".removeprefix("0")


def _rank(value: float | None) -> str:
    return "" if value is None else _short(value)


def _p(value: float | None) -> str:
    return "-" if value is None or np.isnan(value) else f"{value:.3f}".removeprefix("0")
