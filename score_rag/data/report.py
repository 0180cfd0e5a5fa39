"""The data report: how many rows were read, kept and dropped, and which recoverable anomalies were kept.

Rows read = rows kept + rows dropped, reason by reason, or the reading fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from score_rag.data.interactions import QUESTIONS, SPLITS, Interactions
from score_rag.errors import DataError

__all__ = ["DataReport", "information"]


@dataclass
class DataReport:
    """Counts of one reading.

    Attributes:
        source: The source's name.
        rows_read: Rows of events in the files.
        dropped: Reason to number of rows dropped for it.
        decisions: Recoverable anomalies that were kept: what was done, to how many values.
        notes: How files were read that could have been read otherwise.
        ratings: The least rating, the median and the greatest, where there are ratings.
        lacks: What later stages need and the table has not: each `what`, and `remedy`, settings that would help.
        warnings: What a reader of results should know.
        sampled: Sampled negatives, beside the rows read.
        kept: Split to rows kept; `background` is there only where it has rows.
    """

    source: str
    rows_read: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    decisions: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ratings: tuple[float, float, float] | None = None
    lacks: list[dict[str, Any]] = field(default_factory=list)
    sampled: int = 0
    kept: dict[str, int] = field(default_factory=dict)

    def drop(self, reason: str, count: int) -> None:
        """Count dropped rows."""
        if count:
            self.dropped[reason] = self.dropped.get(reason, 0) + count

    def decide(self, what: str, count: int) -> None:
        """Note a decision and how many values it touched."""
        if count:
            self.decisions[what] = self.decisions.get(what, 0) + count

    def warn(self, text: str) -> None:
        """Note what a reader of results should know."""
        if text not in self.warnings:
            self.warnings.append(text)

    def say(self, text: str) -> None:
        """Note how a file was read."""
        if text not in self.notes:
            self.notes.append(text)

    def lack(self, what: str, remedy: Mapping[str, Any] | None = None) -> None:
        """Note what later stages will refuse the table for."""
        self.lacks.append({"what": what, "remedy": dict(remedy or {})})

    def take(self, other: DataReport) -> None:
        """Add what another account of the same source says."""
        self.rows_read += other.rows_read
        for reason, count in other.dropped.items():
            self.drop(reason, count)
        for what, count in other.decisions.items():
            self.decide(what, count)
        for text in other.warnings:
            self.warn(text)
        for text in other.notes:
            self.say(text)

    def settle(self, interactions: Interactions) -> None:
        """Count what was kept, and hold the books to it.

        Raises:
            DataError: Rows are unaccounted for.
        """
        counted = {(split, sampled): count for split, sampled, count in interactions.events.group_by("split", "sampled").len().iter_rows()}
        self.kept = {split: counted.get((split, False), 0) for split in interactions.splits}
        self.sampled = sum(counted.get((split, True), 0) for split in SPLITS)
        for split in QUESTIONS:
            if not self.kept[split]:
                self.warn(f"the {split} split is empty")
        accounted = sum(self.kept.values()) + sum(self.dropped.values())
        if accounted != self.rows_read:
            raise DataError(
                "rows are unaccounted for: this is a bug of score-rag, not a fault of the data",
                where=self.source,
                expected=f"{self.rows_read:,} rows kept or dropped",
                found=f"{accounted:,}",
                hint="please report it, with the file's first lines",
            )

    def to_dict(self) -> dict[str, Any]:
        """For `report.json`."""
        return dict(vars(self))

    def lines(self) -> list[str]:
        """What is worth telling a person, a line each: notes, drops, decisions, warnings."""
        said = [*self.notes]
        said += [f"{count:,} rows dropped: {reason}" for reason, count in self.dropped.items()]
        said += [f"{count:,} {what}" for what, count in self.decisions.items()]
        said += [f"later stages cannot learn from this: {lack['what']}" for lack in self.lacks]
        return said + self.warnings


def information(interactions: Interactions, history: str = "all") -> str:
    """What predictions may know, in a word that every table of results states: `positives`, `all`, or either with `+ background`.

    Numbers of different information are not comparable.

    Args:
        history: The policy of histories, `all` or `positives`.
    """
    return f"{history} + background" if interactions.background else history
