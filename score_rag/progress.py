"""How long work tells how far it is: a callable that rooms call and the command line draws as bars."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Report", "part_of", "silent", "with_detail", "without_detail"]

Report = Callable[[str, int, int], None]
"""`report(what, done, total)`: called now and then; `done == total` ends the bar of `what`."""

_DETAIL = " · "


def silent(what: str, done: int, total: int) -> None:
    """Report nothing: the default of every room."""


def part_of(report: Report, before: int, total: int) -> Report:
    """For work in parts: a report that counts on from what the parts before did, of all that there is.

    >>> part_of(lambda what, done, total: print(what, done, total), 5, 9)("embedding", 2, 3)
    embedding 7 9
    """

    def told(what: str, done: int, _: int) -> None:
        report(what, before + done, total)

    return told


def with_detail(what: str, detail: str) -> str:
    """What is done, with something that changes while it is, such as what it has cost: still the same bar.

    >>> with_detail("asking", "$0.01"), without_detail("asking · $0.01"), without_detail("asking")
    ('asking · $0.01', 'asking', 'asking')
    """
    return f"{what}{_DETAIL}{detail}"


def without_detail(what: str) -> str:
    """What is done, alone: the bar's name."""
    return what.partition(_DETAIL)[0]
