"""Work in processes that may die: forked from a server that has imported everything, so that a death costs milliseconds."""

from __future__ import annotations

import multiprocessing
import os
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

__all__ = ["Died", "asked", "context", "started"]

_HEAVY = ("torch", "transformers", "sentence_transformers", "peft", "onnxruntime")
_LIGHT = ("score_rag.pipeline.stages", "score_rag.pipeline.runner", "score_rag.index.writer", "score_rag.feedback.log", "chromadb")


class Died(RuntimeError):
    """The process ended without an answer, or with a traceback."""


def context(*, heavy: bool) -> ForkServerContext:
    """Where processes come from; `heavy` has the training packages imported, which take seconds."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["benchmarks.stress", *_LIGHT, *(_HEAVY if heavy else ())])
    return found


def started(source: ForkServerContext, work: Callable[..., Any], *args: Any) -> ForkServerProcess:
    """A process that works, quietly."""
    process = source.Process(target=_quietly, args=(work, args), daemon=True)
    process.start()
    return process


def asked(source: ForkServerContext, work: Callable[..., Any], *args: Any, patience: float = 600) -> Any:
    """What work in a process of its own gives.

    Raises:
        Died: It gave nothing.
    """
    ours, theirs = source.Pipe()
    process = source.Process(target=_answering, args=(theirs, work, args), daemon=True)
    process.start()
    theirs.close()
    try:
        told = ours.recv() if ours.poll(patience) else None
    except EOFError:
        told = None
    process.join(5)
    if process.is_alive():
        process.kill()
        process.join()
    if told is None or told[0] == "failed":
        raise Died(f"{work.__qualname__}: {told[1] if told else f'exit status {process.exitcode}'}")
    return told[1]


def _quietly(work: Callable[..., Any], args: tuple[Any, ...]) -> None:
    _be_quiet()
    work(*args)


def _be_quiet() -> None:
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123  # no path of ours
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)


def _answering(pipe: Connection, work: Callable[..., Any], args: tuple[Any, ...]) -> None:
    _be_quiet()
    try:
        pipe.send(("done", work(*args)))
    except BaseException:  # noqa: BLE001  # whatever it is, it is told
        pipe.send(("failed", traceback.format_exc(limit=-6)))


def wait_until(process: ForkServerProcess, seconds: float) -> bool:
    """Whether a process still works after so many seconds."""
    process.join(max(0.0, seconds))
    return process.is_alive()


def took(source: ForkServerContext, work: Callable[..., Any], *args: Any) -> float:
    """Seconds that work takes in a process of its own."""
    begun = time.monotonic()
    asked(source, work, *args)
    return time.monotonic() - begun
