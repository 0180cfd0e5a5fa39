"""A table of a page: what it shows in its caption, its columns, its rows as texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["PageTable"]


@dataclass(frozen=True)
class PageTable:
    """A table.

    Attributes:
        rows: The first cell names the row.
        numbers: Which columns are numbers, and stand on the right: all but the first, none, or a word for each column.
        notes: What a reader must know of it.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: bool | Sequence[bool] = True
    notes: Sequence[str] = ()

    @property
    def right(self) -> list[bool]:
        """Which columns stand on the right."""
        if isinstance(self.numbers, bool):
            return [False, *([self.numbers] * (len(self.columns) - 1))]
        return list(self.numbers)

    @property
    def headed(self) -> bool:
        """Whether columns have names."""
        return any(self.columns)

    @classmethod
    def of(cls, table: Table) -> PageTable:
        """A table of the screen."""
        from rich.text import Text

        def said(cell: object) -> str:
            return Text.from_markup(cell).plain if isinstance(cell, str) else str(cell)

        columns = [said(column.header) for column in table.columns]
        cells = [[said(cell) for cell in column.cells] for column in table.columns]
        rows = [list(row) for row in zip(*cells, strict=True)]
        numbers = [column.justify == "right" for column in table.columns]
        notes = said(table.caption or "").splitlines()
        return cls(said(table.title or ""), columns, rows, numbers, notes)

    def to_markdown(self) -> str:
        """As Markdown has tables.

        >>> print(PageTable("sizes", ("", "users"), [("train", "5")]).to_markdown())
        sizes
        <BLANKLINE>
        |  | users |
        |---|---:|
        | train | 5 |
        """
        rule = ["---:" if right else "---" for right in self.right]
        lines = [_line(self.columns), f"|{'|'.join(rule)}|", *(_line(row) for row in self.rows)]
        told = [self.caption, "", *lines]
        for note in self.notes:
            told += ["", plain(note)]
        return "\n".join(told)


def plain(text: str) -> str:
    """A text that Markdown shows as it is.

    >>> plain("a *b* | <i>")
    'a \\\\*b\\\\* \\\\| \\\\<i>'
    """
    return "".join(f"\\{letter}" if letter in "\\`*_[]<|#" else letter for letter in " ".join(text.split()))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(plain(cell) for cell in cells)} |"
