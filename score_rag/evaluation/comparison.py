"""What `compare` found: systems, tests of each pair, what is significant; for JSON, the screen and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from score_rag.evaluation.intervals import known, rounded
from score_rag.metrics.bootstrap import Interval

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Compared", "Comparison", "PairTest"]

_CALLED = {"auc": "AUC", "uauc": "UAUC", "log_loss": "log-loss"}


@dataclass(frozen=True)
class Compared:
    """One system."""

    name: str
    auc: Interval | None
    uauc: Interval | None
    log_loss: Interval | None


@dataclass(frozen=True)
class PairTest:
    """Two systems by one measure.

    Attributes:
        first: The system the difference is of.
        second: The system it is from.
        measure: `auc`, `uauc` or `log_loss` (of which less is better).
        difference: First less second, with the paired 95 % interval.
        bootstrap_p: Of the paired bootstrap, uncorrected.
        permutation_p: Of the permutation test, uncorrected.
        holm_p: The same, corrected for all tests of the table.
    """

    first: str
    second: str
    measure: str
    difference: Interval
    bootstrap_p: float
    permutation_p: float
    holm_p: float

    @property
    def better(self) -> str:
        """Which of the two the difference favours."""
        return self.first if (self.difference.value > 0) != (self.measure == "log_loss") else self.second


@dataclass(frozen=True)
class Comparison:
    """All of it.

    Attributes:
        events: Events that all have.
        users: Their users.
        both: Users with both classes, over whom UAUC averages.
        alpha: Level of significance, over all tests together.
    """

    systems: tuple[Compared, ...]
    tests: tuple[PairTest, ...]
    events: int
    users: int
    both: int
    alpha: float
    resamples: int
    permutations: int
    notes: tuple[str, ...] = ()

    def significant(self, test: PairTest) -> bool:
        """Whether a difference is more than chance, all tests together."""
        return bool(test.holm_p <= self.alpha)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        systems = [
            {"name": one.name, **{name: None if (found := getattr(one, name)) is None else rounded(found) for name in _CALLED}}
            for one in self.systems
        ]
        tests = [
            {
                "first": test.first,
                "second": test.second,
                "measure": test.measure,
                "difference": rounded(test.difference),
                "bootstrap_p": known(test.bootstrap_p),
                "permutation_p": known(test.permutation_p),
                "holm_p": known(test.holm_p),
                "significant": self.significant(test),
                "better": test.better if self.significant(test) else None,
            }
            for test in self.tests
        ]
        told = {name: getattr(self, name) for name in ("events", "users", "alpha", "resamples", "permutations")}
        return {**told, "users_with_both_classes": self.both, "systems": systems, "tests": tests, "notes": list(self.notes)}

    def to_markdown(self) -> str:
        """Both tables, for a page or a pull request."""
        parts = []
        for title, columns, rows, caption in self._content():
            cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
            lines = ["| " + " | ".join(row) + " |" for row in (columns, ["---"] * len(columns), *cells)]
            parts += [f"**{title}**", "\n".join(lines), *caption]
        return "\n\n".join(parts) + "\n"

    def tables(self) -> list[Table]:
        """Both tables, for the screen."""
        from rich.markup import escape

        from score_rag.evaluation.screen_table import screen_table

        out = []
        for title, columns, rows, caption in self._content():
            table = screen_table(title, "\n".join(caption), columns, words=columns[:1], whole=("measure", "finding"))
            for row in rows:
                # Below its value, an interval takes no width: 80 columns hold the table.
                table.add_row(*(escape(cell if not place else cell.replace(" (", "\n(", 1)) for place, cell in enumerate(row)))
            out.append(table)
        return out

    def _content(self) -> list[tuple[str, Sequence[str], list[list[str]], list[str]]]:
        """(title, columns, rows, caption) of each table."""
        systems = [
            [one.name, *("not a probability" if f is None else _value(f) for f in (one.auc, one.uauc, one.log_loss))]
            for one in self.systems
        ]
        first = f"{self.events:,} events of {self.users:,} users, {self.both:,} with both classes; 95 % CI by bootstrap over users"
        tests = [
            [
                f"{test.first} − {test.second}",
                _CALLED[test.measure],
                _difference(test.difference),
                _p(test.bootstrap_p),
                _p(test.permutation_p),
                _p(test.holm_p),
                ("* better" if test.better == test.first else "* worse") if self.significant(test) else "chance",
            ]
            for test in self.tests
        ]
        second = (
            f"* the first of the pair is better or worse by more than chance: Holm's p at most {self.alpha:g}, over all {len(self.tests)} "
            "tests; less log-loss is better; "
            f"bootstrap: {self.resamples:,} draws of users; permutation: {self.permutations:,} random swaps of users"
        )
        columns = ("pair", "measure", "difference (95 %)", "p boot.", "p perm.", "p Holm", "finding")
        return [
            ("systems", ("system", "AUC", "UAUC", "log-loss"), systems, [first, *self.notes]),
            ("differences, paired over users", columns, tests, [second]),
        ]


def _value(found: Interval) -> str:
    return "-" if np.isnan(found.value) else f"{found.value:.4f} ({found.low:.4f}-{found.high:.4f})"


def _difference(found: Interval) -> str:
    return "-" if np.isnan(found.value) else f"{found.value:+.4f} ({found.low:+.4f} {found.high:+.4f})"


def _p(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.4f}"
