"""Bars, panels and errors: what the commands share in speaking to a person."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from score_rag.progress import Report, silent

if TYPE_CHECKING:
    from rich.console import Console

    from score_rag.errors import ScoreError

__all__ = ["bars", "console", "print_json", "show_error"]


def console(*, error: bool = False) -> Console:
    """Standard output (or error), as wide as the terminal; 100 columns where there is none."""
    from rich.console import Console

    stream = sys.stderr if error else sys.stdout
    return Console(stderr=error, width=None if stream.isatty() else 100, highlight=False)


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def bars(*, quiet: bool = False) -> Iterator[Report]:
    """A `Report` that draws a bar for each piece of work, on a terminal; elsewhere it is silent."""
    if quiet or not sys.stderr.isatty():
        with _calm():
            yield silent
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with _calm(), Progress(*columns, console=console(error=True), transient=True) as progress:
        tasks: dict[str, Any] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks or progress.tasks[tasks[what]].finished:
                for known in progress.tasks:
                    # What is done has been said; only what is going on keeps a line.
                    progress.update(known.id, visible=known.visible and not known.finished)
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done, total=total)

        yield report


@contextmanager
def _calm() -> Iterator[None]:
    """Keep other packages' bars and load reports off the screen: ours tell the same."""
    import os

    for name, value in (
        ("HF_HUB_DISABLE_PROGRESS_BARS", "1"),
        ("HF_HUB_DISABLE_TELEMETRY", "1"),
        ("TRANSFORMERS_VERBOSITY", "error"),
        ("TOKENIZERS_PARALLELISM", "false"),
        ("TQDM_DISABLE", "1"),
    ):
        os.environ.setdefault(name, value)
    yield


def show_error(error: ScoreError) -> None:
    """What went wrong in red, then where, expected, found, and what to do."""
    from rich.text import Text

    from score_rag.cli.remedies import advice

    screen = console(error=True)
    screen.print(Text(f"error: {error.what}", style="bold red"), soft_wrap=True)
    for name in ("where", "expected", "found"):
        value = getattr(error, name)
        if value is not None:
            screen.print(Text(f"  {name}: {value}", style="dim"), soft_wrap=True)
    if said := advice(error):
        screen.print(Text(f"  hint: {said}"), soft_wrap=True)
