"""The form that all tables of evaluation have on the screen: 80 columns hold them, and no number is cut."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["screen_table"]

_LEAST = 12
"""Columns that a column of words keeps at least."""


def screen_table(title: str, caption: str, columns: Sequence[str], *, words: Collection[str] = (), whole: Collection[str] = ()) -> Table:
    """A table without rows; title, caption and headings are told as they are.

    Args:
        words: Columns whose cells take further lines where the screen is narrow. Numbers never do: what belongs to a value, such as its
            interval, stands in a line below it.
        whole: Columns of words so short that they need no further lines.
    """
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        title=escape(title),
        caption=escape(caption),
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for column in columns:
        broken = column in words
        table.add_column(
            escape(column),
            justify="left" if broken or column in whole else "right",
            no_wrap=not broken,
            min_width=_LEAST if broken else None,
            overflow="fold",
        )
    return table
