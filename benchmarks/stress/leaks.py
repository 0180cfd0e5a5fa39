"""Random logs whose future is tampered with: the property tests of leaks, with as many examples as there is time for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from benchmarks.stress.result import Clock, Result

__all__ = ["FULL", "leaks"]

FULL = 100_000
_ROUND = 20
"""Logs until the clock is looked at again."""


def leaks(minutes: float, start: int, full: int = FULL) -> Result:
    """Every carrier of information, on logs of which each is drawn anew."""
    from leak_worlds import questions
    from test_leak import CARRIERS, LEARNT, VERSIONED, moved

    result, clock = Result("leaks", full), Clock(minutes)
    checks = (
        ("what a question is told", questions(), CARRIERS),
        ("documents and neighbours", questions(), VERSIONED),
        ("what is learnt", questions(held_out=True), LEARNT | VERSIONED),
    )
    number = 0
    while result.done < full and (clock or number < len(checks)):
        name, drawn, carriers = checks[number % len(checks)]
        first = number < len(checks)
        number += 1

        def look(pair: Any, name: str = name, carriers: Any = carriers, first: bool = first) -> None:
            # The first round of each kind is short where there is no time, and never empty.
            if not clock and (not first or result.counts[name]):
                return
            result.counts[name] += 1
            if found := moved(carriers, pair):
                raise AssertionError(f"{name}: the future moves {', '.join(found)}")

        try:
            _drawn(drawn, look, 1000 * start + number, min(_ROUND, full))()
        except AssertionError as error:
            result.fault(f"{error} (seed {1000 * start + number})")
        result.done = sum(result.counts.values())
    return result.ended()


def _drawn(strategy: Any, look: Callable[[Any], None], number: int, count: int) -> Callable[[], None]:
    """So many examples of a strategy, looked at."""

    @seed(number)
    @settings(max_examples=count, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(strategy)
    def check(pair: Any) -> None:
        look(pair)

    return check
