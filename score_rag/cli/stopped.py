"""Ctrl+C and SIGTERM: one line says what is kept, and which command goes on."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

__all__ = ["farewell", "stoppable"]

_KEPT = {
    "run": "finished stages are kept, and what a training had saved",
    "assess": "every answer is kept",
    "data": "what was downloaded is kept",
    "index": "the index is as it was",
    "evaluate": "no table was stored",
    "score": "rows are kept as they were last written down",
    "embed": "rows are kept as they were last written down",
    "ablate": "finished variants are kept",
    "sweep": "finished points are kept",
    "serve": "all feedback that was answered is kept",
}
"""By command, what an interrupted one leaves."""


@contextmanager
def stoppable(words: Sequence[str]) -> Iterator[None]:
    """End the block's program in order where a signal asks for it: folders and locks are put in order, one line is printed.

    Args:
        words: What was typed, without the program's name.
    """
    asked: list[int] = []
    before = None
    main = threading.current_thread() is threading.main_thread()

    def ask(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        # As Ctrl+C, which event loops take in order; where that is ignored (nohup), as Python's own handler does.
        if callable(signal.getsignal(signal.SIGINT)):
            signal.raise_signal(signal.SIGINT)
        else:
            raise KeyboardInterrupt

    if main:
        before = signal.signal(signal.SIGTERM, ask)
    try:
        yield
    except KeyboardInterrupt:
        _leave(words, bool(asked))
    except SystemExit as left:
        # Typer makes this of Ctrl+C.
        if left.code != 130:
            raise
        _leave(words, bool(asked))
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)


def _leave(words: Sequence[str], terminated: bool) -> None:
    sys.stderr.write(farewell(words) + "\n")
    sys.exit(143 if terminated else 130)


def farewell(words: Sequence[str]) -> str:
    """What is said of a command that was stopped.

    >>> farewell(["run", "sample"])
    'stopped: finished stages are kept, and what a training had saved; to go on: score-rag run sample'
    """
    kept = next((_KEPT[word] for word in words if word in _KEPT), "nothing was changed")
    return f"stopped: {kept}; to go on: {shlex.join(['score-rag', *words])}"
