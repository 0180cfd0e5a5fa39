"""Bars, panels and errors: what the commands share in speaking to a person."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from score_rag.cli.signs import writes
from score_rag.progress import Report, silent, without_detail

if TYPE_CHECKING:
    from rich.console import Console

    from score_rag.errors import ScoreError

__all__ = ["bars", "console", "print_json", "print_table", "show_error"]


def console(*, error: bool = False) -> Console:
    """Standard output (or error), as wide as the terminal or as `COLUMNS` says; 100 columns where neither is."""
    from rich.console import Console

    stream = sys.stderr if error else sys.stdout
    known = stream.isatty() or os.environ.get("COLUMNS", "").strip("0").isdigit()
    return Console(stderr=error, width=None if known else 100, highlight=False)


def print_json(value: Any) -> None:
    """One JSON document on standard output; letters that it cannot write stand there as JSON escapes."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    sys.stdout.write((text if writes(sys.stdout, text) else json.dumps(value, indent=2)) + "\n")


def print_table(table: Any, *, json: bool) -> None:
    """A stored table (`to_dict`, `tables`): one JSON document, or its parts for a person."""
    if json:
        print_json(table.to_dict())
        return
    screen = console()
    for part in table.tables():
        screen.print(part)


@contextmanager
def bars(*, quiet: bool = False, every: float = 60.0) -> Iterator[Report]:
    """A `Report` that draws a bar for each piece of work; without a terminal, a line every so many seconds says how far it is."""
    if quiet:
        with _calm():
            yield silent
        return
    if not sys.stderr.isatty():
        with _calm(), _lines(every) as report:
            yield report
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    past, left = (TimeElapsedColumn(),), (TimeRemainingColumn(), TextColumn("[dim]left[/]"))
    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), *past, *left)
    with _calm(), Progress(*columns, console=console(error=True), transient=True) as progress:
        tasks: dict[str, Any] = {}

        def report(what: str, done: int, total: int) -> None:
            name = without_detail(what)
            if name not in tasks or progress.tasks[tasks[name]].finished:
                for known in progress.tasks:
                    # What is done has been said; only what is going on keeps a line.
                    progress.update(known.id, visible=known.visible and not known.finished)
                tasks[name] = progress.add_task(what, total=total)
            progress.update(tasks[name], completed=done, total=total, description=what)

        yield report


@contextmanager
def _lines(every: float) -> Iterator[Report]:
    """A `Report` that is told as a line every so many seconds, for logs."""
    last: list[tuple[str, int, int]] = []
    first: list[tuple[str, float, int]] = []
    done, started = threading.Event(), time.monotonic()

    def report(what: str, done: int, total: int) -> None:
        if not first or first[0][0] != what or last[0][1] > done:
            first[:] = [(what, time.monotonic(), done)]
        last[:] = [(what, done, total)]

    def left(part: int, total: int) -> str:
        """At the pace of this piece of work so far; nothing where it has none yet."""
        _, since, before = first[0]
        if part <= before:
            return ""
        minutes = (time.monotonic() - since) / (part - before) * (total - part) / 60
        return f", {f'about {minutes:.0f} min' if minutes >= 0.5 else 'less than a minute'} left of it"

    def tell() -> None:
        while not done.wait(every):
            for what, part, total in last[:1]:
                # What is done is not what goes on now.
                told = f"{what}: {part / total:.0%}, {part:,} of {total:,}{left(part, total)}" if part < total else "at work"
                sys.stderr.write(f"  {told}; {(time.monotonic() - started) / 60:.0f} min in all\n")
                sys.stderr.flush()

    teller = threading.Thread(target=tell, name="score-rag-progress", daemon=True)
    teller.start()
    try:
        yield report
    finally:
        done.set()
        teller.join()


@contextmanager
def _calm() -> Iterator[None]:
    """Keep other packages' bars and load reports off the screen: ours tell the same."""
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
