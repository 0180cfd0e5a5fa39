"""Random logs whose future is tampered with: the property tests of leaks, with as many examples as there is time for, on every core."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from benchmarks.stress.processes import context
from benchmarks.stress.result import Clock, Result
from score_rag.pipeline.usage import cores

__all__ = ["FULL", "leaks"]

FULL = 100_000
_ROUND = 20
"""Logs until the clock is looked at again."""


def leaks(minutes: float, start: int, full: int = FULL, *, workers: int | None = None) -> Result:
    """Every carrier of information, on logs of which each is drawn anew."""
    result, count = Result("leaks", full), min(workers or cores(), max(1, full // _ROUND))
    shares = [full // count + (number < full % count) for number in range(count)]
    if count == 1:
        told = [_share(minutes, start, 0, 1, full)]
    else:
        with ProcessPoolExecutor(count, mp_context=context(heavy=True)) as pool:
            asked = [pool.submit(_share, minutes, start, number, count, share) for number, share in enumerate(shares)]
            told = [one.result() for one in asked]
    for counts, faults in told:
        result.counts += counts
        for fault in faults:
            result.fault(fault)
    result.done = result.counts.total()
    return result.ended()


def _share(minutes: float, start: int, worker: int, workers: int, full: int) -> tuple[Counter[str], list[str]]:
    """What one process does of it: logs by kind of check, and faults."""
    from leak_worlds import questions
    from test_leak import CARRIERS, LEARNT, VERSIONED, moved

    clock, counts, faults = Clock(minutes), Counter[str](), list[str]()
    checks = (
        ("what a question is told", questions(), CARRIERS),
        ("documents and neighbours", questions(), VERSIONED),
        ("what is learnt", questions(held_out=True), LEARNT | VERSIONED),
    )
    number = 0
    while number < len(checks) or (clock and counts.total() < full):
        name, drawn, carriers = checks[number % len(checks)]
        first = number < len(checks)
        # No two rounds of any processes draw the same logs.
        drawn_by = 1_000_000 * start + number * workers + worker
        number += 1

        def look(pair: Any, name: str = name, carriers: Any = carriers, first: bool = first) -> None:
            # The first round of each kind is short where there is no time, and never empty.
            if not clock and (not first or counts[name]):
                return
            counts[name] += 1
            if found := moved(carriers, pair):
                raise AssertionError(f"{name}: the future moves {', '.join(found)}")

        try:
            most = max(1, full // len(checks)) if first else full - counts.total()
            _drawn(drawn, look, drawn_by, min(_ROUND, most))()
        except AssertionError as error:
            faults.append(f"{error} (seed {drawn_by})")
    return counts, faults


def _drawn(strategy: Any, look: Callable[[Any], None], number: int, count: int) -> Callable[[], None]:
    """So many examples of a strategy, looked at."""

    @seed(number)
    @settings(max_examples=count, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(strategy)
    def check(pair: Any) -> None:
        look(pair)

    return check
