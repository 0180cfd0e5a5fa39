"""The result of an audit: one line per check, with the number of comparisons and of violations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from score_rag.data.interactions import QUESTIONS

__all__ = ["SHOWN", "Audit", "Check", "compared", "draw", "moment"]

SHOWN = 5
"""Examples of violations kept of each check."""


@dataclass(frozen=True)
class Check:
    """One comparison, made many times.

    Attributes:
        name: What was compared.
        looked_at: How many times.
        of: What was looked at, in words.
        violations: How often the two sides differed.
        examples: Some of these, in words.
    """

    name: str
    looked_at: int
    of: str
    violations: int = 0
    examples: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The outcome in a line, a few examples of what is wrong below it.

        >>> Check("histories", 300, "questions").lines()
        ['histories: ok, 300 questions']
        """
        told = f"{self.violations:,} violations in" if self.violations else "ok," if self.looked_at else "nothing to check,"
        return [f"{self.name}: {told} {self.looked_at:,} {self.of}", *(f"    {example}" for example in self.examples)]


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        checks: In the order of the data's flow.
        notes: Leaks that a setting allows; what was not checked, and why.
    """

    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no check found anything."""
        return not any(check.violations for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"ok": self.ok, "checks": [asdict(check) for check in self.checks], "notes": list(self.notes)}

    def lines(self) -> list[str]:
        """A line a check, its examples below it, the notes last."""
        return [line for check in self.checks for line in check.lines()] + [f"note: {note}" for note in self.notes]


def compared(name: str, looked_at: int, of: str, wrong: Iterable[str], violations: int | None = None) -> Check:
    """A check of what was wrong; `violations` where `wrong` names only some of it."""
    found = list(wrong)
    return Check(name, looked_at, of, len(found) if violations is None else violations, tuple(found[:SHOWN]))


def draw(events: pl.DataFrame, count: int, seed: int) -> pl.DataFrame:
    """About `count` rows that are questions, uniform without replacement within each split, as many of each; in order of time."""
    generator = np.random.default_rng(seed)
    places = [rows for split in QUESTIONS if len(rows := np.flatnonzero((events["split"] == split).to_numpy()))]
    chosen = [generator.choice(rows, min(-(-count // len(places)), len(rows)), replace=False) for rows in places]
    return events[np.sort(np.concatenate(chosen))] if chosen else events.clear()


def moment(time: int) -> str:
    """A time as people read it, UTC.

    >>> moment(970_358_400)
    '2000-10-01 00:00:00'
    """
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S")
