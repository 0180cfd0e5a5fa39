"""Questions of many requests, answered in batches: a request of many takes turns with the others."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from score_rag.pipeline.serving_run import ServingRun
from score_rag.recommend.answering import Answered, answer_questions
from score_rag.recommend.gather import Gathered
from score_rag.recommend.question import FoundQuestion

__all__ = ["Batches"]

_PART = 16
"""Questions of one request in a batch at most, where others wait too: nobody waits behind a whole ranking."""
Answers = tuple[list[Answered], dict[str, float]]


@dataclass
class _Work:
    """Some questions of one request."""

    run: ServingRun
    asked: Sequence[FoundQuestion]
    reranked: bool
    put: float = field(default_factory=time.perf_counter)


class Batches:
    """The queue to the models.

    Args:
        worker: The threads that they run in.
        threads: How many.
        most: Questions in a batch.
        wait: Seconds that a question waits for others.
        told: Told the size of each batch.
    """

    def __init__(self, worker: ThreadPoolExecutor, *, threads: int, most: int, wait: float, told: Callable[[int], None]) -> None:
        self.waiting = 0
        self._told = told
        self._most = most
        self._per_question = 0.02
        self._queue: Gathered[_Work, Answers] = Gathered(
            self._answer, worker, most=most, wait=wait, size=lambda work: len(work.asked), threads=threads
        )
        self._threads = threads

    @property
    def seconds_left(self) -> float:
        """About how long what waits will take."""
        return self.waiting * self._per_question / self._threads

    async def answers(
        self, run: ServingRun, asked: Sequence[FoundQuestion], *, reranked: bool, seconds: dict[str, float]
    ) -> list[Answered]:
        """One answer a question. Where nobody waits for it any more, what has not begun is not computed; where nobody else waits,
        all threads answer.

        Args:
            seconds: Takes the time of each part; of what runs side by side, both.
        """
        parts = _by_history(asked, 1 if self.waiting else self._threads)
        found = await asyncio.gather(*(self._turns(run, [asked[place] for place in part], reranked, seconds) for part in parts))
        answered = dict(zip(itertools.chain(*parts), itertools.chain(*found), strict=True))
        return [answered[place] for place in range(len(asked))]

    async def _turns(self, run: ServingRun, asked: Sequence[FoundQuestion], reranked: bool, seconds: dict[str, float]) -> list[Answered]:
        self.waiting += len(asked)
        left = len(asked)
        out: list[Answered] = []
        try:
            while left:
                # While nobody else waits, short turns would only cost.
                size = min(left, self._most if self.waiting == left else _PART)
                found, spent = await self._queue.ask(_Work(run, asked[len(out) : len(out) + size], reranked))
                out += found
                left -= size
                self.waiting -= size
                for name, value in spent.items():
                    seconds[name] = seconds.get(name, 0.0) + value
            return out
        finally:
            self.waiting -= left

    def _answer(self, works: Sequence[_Work]) -> list[Answers | Exception]:
        out: dict[int, Answers | Exception] = {}
        began = time.perf_counter()
        groups: dict[tuple[int, bool], list[int]] = {}
        for number, work in enumerate(works):
            groups.setdefault((id(work.run), work.reranked), []).append(number)
        for numbers in groups.values():
            some = [works[number] for number in numbers]
            found: list[Answers | Exception]
            try:
                found = [*self._together(some, began)]
            except Exception as error:  # noqa: BLE001  # whoever asked gets it
                found = [error] if len(some) == 1 else [one for work in some for one in self._answer([work])]
            out.update(zip(numbers, found, strict=True))
        return [out[number] for number in range(len(works))]

    def _together(self, works: Sequence[_Work], began: float) -> list[Answers]:
        asked = [one for work in works for one in work.asked]
        spent: dict[str, float] = {}
        answers = answer_questions(works[0].run, asked, reranked=works[0].reranked, seconds=spent)
        self._told(len(asked))
        self._per_question += 0.1 * (sum(spent.values()) / max(1, len(asked)) - self._per_question)
        out, start = [], 0
        for work in works:
            end = start + len(work.asked)
            out.append((answers[start:end], {**spent, "waiting": began - work.put}))
            start = end
        return out


def _by_history(asked: Sequence[FoundQuestion], parts: int) -> list[list[int]]:
    """Places of one person's questions in at most so many parts, of as many histories each: to read a history is what costs.

    >>> from score_rag.context.question import Question
    >>> asked = [FoundQuestion(Question("u", "i", (), time), None, ()) for time in (None, 5, None, 7, None)]
    >>> _by_history(asked, 2), _by_history(asked, 1), _by_history(asked[:1], 2)
    ([[0, 2, 4, 3], [1]], [[0, 1, 2, 3, 4]], [[0]])
    """
    if parts == 1:
        return [list(range(len(asked)))]
    alike: dict[tuple[int, int | None], list[int]] = {}
    for place, one in enumerate(asked):
        alike.setdefault((len(one.question.history), one.question.as_of), []).append(place)
    out: list[list[int]] = [[] for _ in range(parts)]
    for number, places in enumerate(alike.values()):
        out[number % parts].extend(places)
    return [part for part in out if part]
