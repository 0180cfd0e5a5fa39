"""What SCORE loses when its evidence is changed: paired intervals over users, and what they mean in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from score_rag.evaluation.intervals import known, rounded, short, short_p, signed, unrounded
from score_rag.metrics.auc import uauc
from score_rag.metrics.bootstrap import Bootstrap, Interval

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["EvidenceReport", "EvidenceRow", "Finding"]

Finding = Literal["worse", "same", "better"]
"""Of a change: the predictor is worse with it, no different beyond chance, or better."""


@dataclass(frozen=True)
class EvidenceRow:
    """One way of asking.

    Attributes:
        name: What was changed.
        group: Rows of one kind of change.
        auc: Its own AUC.
        uauc: Its own UAUC.
        auc_loss: AUC of the full predictor less this one's, with the paired 95 % interval.
        uauc_loss: The same of UAUC.
        auc_p: Paired bootstrap test of "no difference".
        uauc_p: The same of UAUC.
    """

    name: str
    group: str
    auc: float
    uauc: float
    auc_loss: Interval
    uauc_loss: Interval
    auc_p: float
    uauc_p: float

    @property
    def finding(self) -> Finding:
        """`same` unless an interval of AUC or UAUC leaves out zero; of two that disagree, the loss is told."""
        if self.auc_loss.low > 0 or self.uauc_loss.low > 0:
            return "worse"
        return "better" if self.auc_loss.high < 0 or self.uauc_loss.high < 0 else "same"


@dataclass(frozen=True)
class EvidenceReport:
    """The full predictor, and each changed way of asking beside it.

    Attributes:
        kind: `evidence` or `shuffled`.
        title: What was evaluated.
        auc: Of the full predictor, with its interval.
        uauc: The same of UAUC.
        rows: In the order asked.
        events: Rows scored.
        users: Users with both classes, over whom UAUC averages.
        notes: What a reader must know.
        made_from: Digests of what the report depends on (see `stored`).
    """

    kind: str
    title: str
    auc: Interval
    uauc: Interval
    rows: tuple[EvidenceRow, ...]
    events: int
    users: int
    notes: tuple[str, ...]
    made_from: Mapping[str, Any]

    @classmethod
    def from_scores(
        cls,
        user_ids: Sequence[str],
        labels: np.ndarray,
        full: np.ndarray,
        changed: Mapping[tuple[str, str], np.ndarray],
        *,
        kind: str = "evidence",
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
            full: [n], scores of the predictor as it is.
            changed: By (group, name), scores [n] when asked otherwise.
        """
        bootstrap = Bootstrap(user_ids, labels, resamples=resamples, seed=seed)
        own = bootstrap.auc(full), bootstrap.uauc(full)
        rows = []
        for (group, name), scores in changed.items():
            theirs = bootstrap.auc(scores), bootstrap.uauc(scores)
            auc_loss, uauc_loss = (
                bootstrap.interval(mine[0] - other[0], mine[1] - other[1]) for mine, other in zip(own, theirs, strict=True)
            )
            auc_p, uauc_p = (bootstrap.p_value(mine[1], other[1]) for mine, other in zip(own, theirs, strict=True))
            rows.append(EvidenceRow(name, group, theirs[0][0], theirs[1][0], auc_loss, uauc_loss, auc_p, uauc_p))
        users = uauc(user_ids, labels, full).users
        auc, whole_uauc = (bootstrap.interval(*found) for found in own)
        return cls(kind, title, auc, whole_uauc, tuple(rows), len(labels), users, tuple(notes), made_from or {})

    def to_dict(self) -> dict[str, Any]:
        """For JSON, findings included."""
        return {
            "kind": self.kind,
            "title": self.title,
            "auc": rounded(self.auc),
            "uauc": rounded(self.uauc),
            "events": self.events,
            "users": self.users,
            "rows": [
                {
                    "group": row.group,
                    "name": row.name,
                    "auc": known(row.auc),
                    "uauc": known(row.uauc),
                    "auc_loss": rounded(row.auc_loss),
                    "uauc_loss": rounded(row.uauc_loss),
                    "auc_p": known(row.auc_p),
                    "uauc_p": known(row.uauc_p),
                    "finding": row.finding,
                }
                for row in self.rows
            ],
            "notes": list(self.notes),
            "made_from": dict(self.made_from),
        }

    def metrics(self) -> dict[str, float]:
        """Every value by name (`alone: crowd.auc`), for trackers of experiments; nan where it is undefined."""
        out = {"as it is.auc": self.auc.value, "as it is.uauc": self.uauc.value}
        for row in self.rows:
            out |= {f"{row.group}: {row.name}.auc": row.auc, f"{row.group}: {row.name}.uauc": row.uauc}
        return out

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """What `to_dict` gave: intervals rounded, all else as it was."""
        rows = []
        for row in value["rows"]:
            auc, own, auc_p, uauc_p = (float("nan") if row[key] is None else row[key] for key in ("auc", "uauc", "auc_p", "uauc_p"))
            losses = unrounded(row["auc_loss"]), unrounded(row["uauc_loss"])
            rows.append(EvidenceRow(row["name"], row["group"], auc, own, losses[0], losses[1], auc_p, uauc_p))
        return cls(
            value["kind"],
            value["title"],
            unrounded(value["auc"]),
            unrounded(value["uauc"]),
            tuple(rows),
            value["events"],
            value["users"],
            tuple(value["notes"]),
            value["made_from"],
        )

    def tables(self) -> list[Table]:
        """For the screen."""
        from rich.markup import escape

        from score_rag.evaluation.screen_table import screen_table

        first = f"{self.events:,} events, UAUC over {self.users:,} users; loss: full predictor less this row, 95 % CI paired over users"
        columns = ("asked", "AUC", "loss", "UAUC", "loss", "p AUC\np UAUC", "finding")
        table = screen_table(self.title, "\n".join([first, *self.notes]), columns, words=("asked",), whole=("finding",))
        table.add_row("as it is", short(self.auc.value), "", short(self.uauc.value), "", "", "")
        group = ""
        for row in self.rows:
            if row.group != group:
                table.add_section()
                table.add_row(f"[bold]{row.group}[/]")
                group = row.group
            losses = [f"{signed(loss.value)}\n({signed(loss.low)} {signed(loss.high)})" for loss in (row.auc_loss, row.uauc_loss)]
            p = f"{short_p(row.auc_p)}\n{short_p(row.uauc_p)}"
            table.add_row(escape(row.name), short(row.auc), losses[0], short(row.uauc), losses[1], p, row.finding)
        return [table]
