"""The points of a sweep with their metrics and intervals, the best of them marked, and the same as a curve."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import polars as pl

from score_rag.evaluation.ablate.results import Result
from score_rag.evaluation.ablate.table import METRICS, draws_of
from score_rag.evaluation.intervals import rounded, short, signed, unrounded
from score_rag.metrics.auc import uauc
from score_rag.metrics.bootstrap import Bootstrap, Interval

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Metric", "SweepRow", "SweepTable"]

Metric = Literal["auc", "uauc", "log_loss"]


@dataclass(frozen=True)
class SweepRow:
    """One point.

    Attributes:
        values: By setting.
        metrics: With 95 % intervals; none where it failed.
        behind: By metric, this point less the best one, paired over users.
        tokens: Of a question, on average.
        seconds: Of training, and of finding and asking.
        failed: Why; empty where it did not.
    """

    values: Mapping[str, Any]
    metrics: Mapping[str, Interval]
    behind: Mapping[str, Interval]
    tokens: float | None
    seconds: tuple[float, float] | None
    failed: str = ""


@dataclass(frozen=True)
class SweepTable:
    """All points on the same validation events.

    Attributes:
        by: What the best is best in.
        best: Its place among the rows; None where all failed.
        users: Users with both classes, over whom UAUC averages.
    """

    title: str
    rows: tuple[SweepRow, ...]
    by: Metric
    best: int | None
    events: int
    users: int
    notes: tuple[str, ...]
    made_from: Mapping[str, Any]

    @classmethod
    def from_results(
        cls,
        user_ids: Sequence[str],
        labels: np.ndarray,
        results: Sequence[tuple[Mapping[str, Any], Result]],
        *,
        by: Metric = "auc",
        title: str = "",
        notes: Sequence[str] = (),
        resamples: int = 1000,
        seed: int = 0,
        made_from: Mapping[str, Any] | None = None,
    ) -> Self:
        """Measure; the arguments are those of `AblationTable.from_results`."""
        bootstrap = Bootstrap(user_ids, labels, resamples=resamples, seed=seed)
        drawn = [None if found.scores is None else draws_of(bootstrap, found.scores) for _, found in results]
        sign = -1 if by == "log_loss" else 1
        there = [place for place, found in enumerate(drawn) if found is not None and not np.isnan(found[by][0])]
        best = max(there, key=lambda place: sign * drawn[place][by][0], default=None)  # type: ignore[index]
        top = None if best is None else drawn[best]
        rows = []
        for (values, result), found in zip(results, drawn, strict=True):
            metrics = {name: bootstrap.interval(*pair) for name, pair in (found or {}).items()}
            behind = {
                name: bootstrap.interval(value - top[name][0], draws - top[name][1])
                for name, (value, draws) in (found or {}).items()
                if top is not None
            }
            cost = result.cost
            seconds = None if cost is None else (cost.train_seconds, cost.find_seconds + cost.ask_seconds)
            rows.append(SweepRow(dict(values), metrics, behind, None if cost is None else cost.tokens, seconds, result.failed))
        counted = uauc(user_ids, labels, np.zeros(len(labels)))
        return cls(title, tuple(rows), by, best, len(labels), counted.users, tuple(notes), made_from or {})

    @property
    def names(self) -> list[str]:
        """Settings that are swept, in the order of their first point."""
        return list(dict.fromkeys(name for row in self.rows for name in row.values))

    @property
    def failed(self) -> int:
        """How many points failed."""
        return sum(bool(row.failed) for row in self.rows)

    def noted(self, notes: Sequence[str]) -> Self:
        """The table with further notes."""
        return replace(self, notes=(*self.notes, *notes))

    def metrics(self) -> dict[str, float]:
        """Every value by name (`reranker.top_n=2.auc`), for trackers of experiments."""
        out: dict[str, float] = {}
        for row in self.rows:
            point = ", ".join(f"{name}={value}" for name, value in row.values.items())
            out |= {f"{point}.{name}": found.value for name, found in row.metrics.items()}
        return out

    def curve(self) -> pl.DataFrame:
        """A row for each point: its settings, then `METRIC`, `METRIC_low`, `METRIC_high` of each metric, and `tokens`."""
        out = []
        for row in self.rows:
            line: dict[str, Any] = {name: row.values.get(name) for name in self.names}
            # What is no number or text has no column of its own in CSV.
            line = {name: json.dumps(value) if isinstance(value, list | dict) else value for name, value in line.items()}
            for name in METRICS:
                found = row.metrics.get(name)
                low, high = (None, None) if found is None else (found.low, found.high)
                line |= {name: None if found is None else found.value, f"{name}_low": low, f"{name}_high": high}
            out.append({**line, "tokens": row.tokens})
        return pl.DataFrame(out, infer_schema_length=None, strict=False)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        rows = [
            {
                "values": dict(row.values),
                **{name: rounded(found) for name, found in row.metrics.items()},
                "behind": {name: rounded(found) for name, found in row.behind.items()},
                "tokens": row.tokens,
                "seconds": row.seconds,
                **({"failed": row.failed} if row.failed else {}),
            }
            for row in self.rows
        ]
        return {
            "kind": "sweep",
            "title": self.title,
            "by": self.by,
            "best": None if self.best is None else dict(self.rows[self.best].values),
            "events": self.events,
            "users": self.users,
            "rows": rows,
            "notes": list(self.notes),
            "made_from": dict(self.made_from),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """What `to_dict` gave."""
        rows = tuple(
            SweepRow(
                row["values"],
                {name: unrounded(row[name]) for name in METRICS if name in row},
                {name: unrounded(found) for name, found in row["behind"].items()},
                row["tokens"],
                None if row["seconds"] is None else (row["seconds"][0], row["seconds"][1]),
                row.get("failed", ""),
            )
            for row in value["rows"]
        )
        best = next((place for place, row in enumerate(rows) if row.values == value["best"]), None)
        notes, made_from = tuple(value["notes"]), value["made_from"]
        return cls(value["title"], rows, value["by"], best, value["events"], value["users"], notes, made_from)

    def tables(self) -> list[Table]:
        """For the screen."""
        from rich import box
        from rich.markup import escape
        from rich.table import Table

        first = (
            f"{self.events:,} events, UAUC over {self.users:,} users; bold: best in {self.by}; behind: less the best, paired 95 % interval"
        )
        # A reason is a sentence: in a column of numbers it would push the others off the screen.
        failed = [f"{', '.join(_spelled(value) for value in row.values.values())}: failed: {row.failed}" for row in self.rows if row.failed]
        table = Table(
            title=escape(self.title),
            caption=escape("\n".join([*failed, first, *self.notes])),
            title_justify="left",
            caption_justify="left",
            box=box.SIMPLE_HEAD,
            padding=0,
        )
        for name in self.names:
            # What was set is never the column that gives way: two settings fit into 80 columns.
            heading = name.replace(".", ".\n").replace("_", "_\n")
            table.add_column(escape(heading), justify="right", min_width=max(map(len, heading.splitlines())))
        for column in ("AUC", "UAUC", "log-loss", f"{self.by} behind", "tokens", "train s\nask s"):
            table.add_column(column, justify="right", no_wrap=True)
        for place, row in enumerate(self.rows):
            cells = [escape(_spelled(row.values.get(name))) for name in self.names]
            if row.failed:
                table.add_row(*cells, "[red]failed[/]")
                continue
            behind = row.behind[self.by]
            found = [f"{short(m.value)}\n[dim]{short(m.low, 3)}-{short(m.high, 3)}[/]" for m in (row.metrics[name] for name in METRICS)]
            told = "best" if place == self.best else f"{signed(behind.value)}\n[dim]{signed(behind.low)} {signed(behind.high)}[/]"
            seconds = "\n".join(f"{value:.1f}" for value in row.seconds or ())
            table.add_row(*cells, *found, told, f"{row.tokens:.1f}", seconds, style="bold" if place == self.best else None)
        return [table]


def _spelled(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)
