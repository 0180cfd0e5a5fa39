"""What is wrong in a data file: collected with its lines, told all at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from score_rag.errors import DataError

__all__ = ["Mistakes", "require_columns", "require_rows", "shown"]

_SHOWN = 20
_MOST_CELL = 40


class Mistakes:
    """Collects what is wrong in files and raises it all at once (the first twenty shown).

    Attributes:
        torn: Lines that could not be taken apart into cells.
    """

    def __init__(self) -> None:
        self._found: list[tuple[str, int, str]] = []
        self._more = 0
        self._advice: list[str] = []
        self.torn = 0

    def __len__(self) -> int:
        return self._more

    def add(self, frame: pl.DataFrame, bad: pl.Series, column: str, *, file: Path, expected: str, called: str | None = None) -> None:
        """Note the rows where `bad` is true; `frame` has `_line` and the column as text, which the file may have called otherwise."""
        rows = frame.filter(bad)
        self._more += len(rows)
        for line, value in rows.select("_line", column).head(_SHOWN).iter_rows():
            self._found.append((file.name, int(line), f"{called or column}: expected {expected}, found {shown(value)}"))

    def note(self, file: str, line: int, text: str, *, torn: bool = False) -> None:
        """Note one mistake in words; `torn` where the line could not be taken apart into cells."""
        self._more += 1
        self.torn += torn
        if len(self._found) < 4 * _SHOWN:
            self._found.append((file, line, text))

    def advise(self, hint: str) -> None:
        """Say what would help against some of the mistakes."""
        if hint not in self._advice:
            self._advice.append(hint)

    def take(self, others: Mistakes) -> None:
        """Add what another one collected."""
        self._found += others._found
        self._more += others._more
        self.torn += others.torn
        for hint in others._advice:
            self.advise(hint)

    def settle(self, where: Path) -> None:
        """Raise if anything was noted.

        Raises:
            DataError: Lists the mistakes, in the order in which the files have them.
        """
        if not self._more:
            return
        files = list(dict.fromkeys(file for file, _, _ in self._found))
        first = sorted(self._found, key=lambda mistake: (files.index(mistake[0]), mistake[1]))[:_SHOWN]
        shown = "\n    ".join(f"{file}, line {line}: {text}" for file, line, text in first)
        rest = self._more - min(len(self._found), _SHOWN)
        raise DataError(
            f"{self._more:,} malformed " + ("cell" if self._more == 1 else "cells"),
            where=where,
            found="\n    " + shown + (f"\n    ... and {rest:,} more" if rest > 0 else ""),
            hint="; ".join([*self._advice, "mend or remove these rows; nothing was written"]),
        )


def shown(value: str | None) -> str:
    """A cell as messages quote it: short, and on one line."""
    if not value:
        return "nothing"
    return repr(value if len(value) <= _MOST_CELL else value[: _MOST_CELL - 3] + "...")


def require_columns(found: Sequence[str], wanted: Mapping[str, str], *, file: Path, hint: str | None = None) -> None:
    """All of `wanted` (our name to the file's) must be among the file's columns, none twice.

    Raises:
        DataError: Names what is missing or repeated.
    """
    # A column without a name (an index that pandas or R wrote) is nobody's business.
    twice = sorted({name for name in found if name and found.count(name) > 1})
    if twice:
        raise DataError(f"a data file has columns twice: {', '.join(twice)}", where=file, expected="each name once", found=", ".join(found))
    missing = [theirs for theirs in wanted.values() if theirs not in found]
    if missing:
        raise DataError(
            f"a data file lacks columns: {', '.join(missing)}",
            where=file,
            expected=", ".join(wanted.values()),
            found=", ".join(found)[:300] or "nothing",
            hint=hint or "say what they are called there, in data.columns: our names to yours",
        )


def require_rows(events: pl.DataFrame, *, where: Path) -> None:
    """There must be an event.

    Raises:
        DataError: There is none.
    """
    if not len(events):
        raise DataError("there are no events", where=where, expected="at least one row", found="a header alone, or empty lines")
