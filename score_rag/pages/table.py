"""A table of a page: what it shows in its caption, its columns, its rows as texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["PageTable"]


@dataclass(frozen=True)
class PageTable:
    """A table.

    Attributes:
        rows: The first cell names the row.
        numbers: Whether all other cells are numbers, and stand on the right.
        notes: What a reader must know of it.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: bool = True
    notes: Sequence[str] = ()

    def to_markdown(self) -> str:
        """As Markdown has tables.

        >>> print(PageTable("sizes", ("", "users"), [("train", "5")]).to_markdown())
        sizes
        <BLANKLINE>
        |  | users |
        |---|---:|
        | train | 5 |
        """
        rule = ["---", *(["---:" if self.numbers else "---"] * (len(self.columns) - 1))]
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
