"""How long work tells how far it is: a callable that rooms call and the command line draws as bars."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Report", "silent"]

Report = Callable[[str, int, int], None]
"""`report(what, done, total)`: called now and then; `done == total` ends the bar of `what`."""


def silent(what: str, done: int, total: int) -> None:
    """Report nothing: the default of every room."""
