"""What a catalogue tells of items beside ids and titles. It is optional evidence: a cell that cannot be understood counts as unknown."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from score_rag.data.mistakes import Mistakes, shown
from score_rag.data.report import DataReport

__all__ = ["Attributes"]

_SHARE = 0.2
_SHOWN = 3
# What programs write for nothing; `0` and `unknown` are nothing for a year and for a list too.
NOTHING = ("", "nan", "none", "null", "na", "n/a", "<na>", "nat", "\\n", "-", "?")
_NO_YEAR = (*NOTHING, "0", "0.0", "unknown")
_DATE = r"^\s*(?:\d{1,2}[-/. ]\w{1,9}[-/. ])?(\d{4})(?:[-/.]\d{1,2}(?:[-/.]\d{1,2})?(?:[T ].*)?)?\s*$"


@dataclass(frozen=True)
class Attributes:
    """Reads optional cells of one file, and keeps account of those that it could not understand.

    Attributes:
        file: Where they are from.
        mistakes: Takes them with `strict`.
        report: Takes them without.
        strict: Refuse them, instead of leaving them unknown.
        called: Our names to the file's.
    """

    file: Path
    mistakes: Mistakes
    report: DataReport
    strict: bool = False
    called: dict[str, str] = field(default_factory=dict)

    def name(self, column: str) -> str:
        """What the file calls a column of ours."""
        return self.called.get(column, column)

    def years(self, items: pl.DataFrame) -> pl.Series:
        """The years (int32) of the column `year`, as text; of a date, its year."""
        said = items["year"].str.strip_chars()
        blank = said.str.to_lowercase().is_in(_NO_YEAR).fill_null(True)
        number = said.cast(pl.Float64, strict=False)
        dated = said.str.extract(_DATE).cast(pl.Float64, strict=False).set(number.is_not_null(), None)
        number = number.fill_null(dated)
        fits = (number.is_between(1, 9999) & (number == number.floor())).fill_null(False) & ~blank
        self.report.decide(
            f"years of {self.file.name} (column {self.name('year')}) taken from dates", int((dated.is_not_null() & fits).sum())
        )
        self.unknown(items, ~fits & ~blank, "year", expected="a year such as 1995", told=int((~blank).sum()))
        return number.set(~fits, None).cast(pl.Int32)

    def unknown(self, items: pl.DataFrame, odd: pl.Series, column: str, *, expected: str, told: int) -> None:
        """Note cells that were not understood; `items` has `_line` and the column as text, of which `told` cells say something."""
        many = int(odd.sum())
        if not many:
            return
        if self.strict:
            self.mistakes.add(items, odd, column, file=self.file, expected=expected, called=self.called.get(column))
            return
        rows = items.filter(odd).select("_line", column).head(_SHOWN).iter_rows()
        examples = ", ".join(f"line {line}: {shown(cell)}" for line, cell in rows)
        place = f"{self.file.name} (column {self.name(column)})"
        self.report.decide(f"cells of {place} are not {expected} and count as unknown ({examples})", many)
        if many > _SHARE * told:
            self.report.warn(
                f"{many / told:.0%} of what {place} says is not {expected}: it is probably another column than the items' {column} "
                "(data.item_columns names it; data.strict: true refuses what cannot be understood)"
            )
