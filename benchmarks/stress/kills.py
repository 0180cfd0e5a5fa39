"""SIGKILL at random moments: what is resumed ends as if nothing had been, and nothing that was acknowledged is lost."""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path

from benchmarks.stress.kill_server import kill_servers
from benchmarks.stress.kill_targets import AssessmentJob, FeedbackWriter, IndexWriter, StageTarget, Target
from benchmarks.stress.processes import Died, asked, context, started, took, wait_until
from benchmarks.stress.result import Clock, Result

__all__ = ["FULL", "kills"]

FULL = 1000
_STAGES = ("data", "crm", "documents", "retriever", "reranker", "predictor")
_SHARES = {"index": 0.12, "feedback": 0.06, "assessments": 0.06, "server": 0.12}
"""Of the time; stages have the rest. Each begins with one round, whatever that takes."""


def kills(minutes: float, seed: int, toy: str | None, full: int = FULL) -> Result:
    """Kill every stage of a run, the writers of index, feedback and assessments, and the server.

    Args:
        toy: A finished toy run's file; None leaves out what needs one.
    """
    result, draw = Result("kills", full), random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="score-rag-kills-") as place:
        light = {"index": IndexWriter(), "feedback": FeedbackWriter(), "assessments": AssessmentJob()}
        for name, target in light.items():
            _kill(result, target, Path(place) / name, draw, Clock(minutes * _SHARES[name]), full // 4, heavy=toy is not None)
        if toy is not None:
            kill_servers(result, toy, Path(place) / "server", draw, Clock(minutes * _SHARES["server"]))
            every = Clock(minutes - (time.monotonic() - result.began) / 60)
            for done, name in enumerate(_STAGES):
                if not every:
                    result.facts["stages_not_reached"] = ", ".join(_STAGES[done:])
                    break
                clock = Clock(every.left / 60 / (len(_STAGES) - done))
                _kill(result, StageTarget(toy, name), Path(place) / name, draw, clock, full // 20, heavy=True)
    result.done = sum(result.counts.values())
    return result.ended()


def _kill(result: Result, target: Target, place: Path, draw: random.Random, clock: Clock, most: int, *, heavy: bool) -> None:
    """Rounds of one to four deaths each and a life, until time or amount is reached; at least one."""
    source, name, number = context(heavy=heavy), target.name, 0
    place.mkdir(parents=True)
    try:
        if (seconds := target.seconds) is None:
            asked(source, target.prepare, place / "whole")
            seconds = took(source, target.work, place / "whole")
        while number == 0 or (clock and result.counts[name] < most):
            number += 1
            folder = place / str(number)
            asked(source, target.prepare, folder)
            for _ in range(draw.randint(1, 4)):
                process = started(source, target.work, folder)
                if not wait_until(process, draw.uniform(0, seconds)):
                    break
                process.kill()
                process.join()
                result.counts[name] += 1
                for fault in asked(source, target.between, folder):
                    result.fault(f"{name}, round {number}, after a kill: {fault}")
            asked(source, target.work, folder)
            for fault in asked(source, target.compare, folder, place / "whole"):
                result.fault(f"{name}, round {number}: {fault}")
            asked(source, target.forget, folder)
    except Died as error:
        result.fault(f"{name}, round {number}: {error}")
