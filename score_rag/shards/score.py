"""The job `score`: P(like) of rows of a user and an item."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from score_rag.data.log import Event
from score_rag.errors import InputError
from score_rag.pipeline.run import Run
from score_rag.recommend.answering import Answered, answer_questions
from score_rag.recommend.question import FoundQuestion, find_question
from score_rag.shards.job import Answers, Job
from score_rag.shards.source import Source

__all__ = ["ScoreJob"]

_TIMES = ("as_of", "timestamp")


class ScoreJob(Job):
    """P(like) as `Recommender.recommend` gives it, from the run's own data.

    The input has `user_id`, `item_id`, and may have the time of the question as `as_of`, or else as `timestamp`: only what was strictly
    earlier is known. Rows of one user are asked together, the earliest first, so that the beginnings that their prompts share are computed
    once.

    Args:
        run: A finished run.
        source: The input.
        reranked: Without, the most alike users are told, as in rankings: a tenth of the time.
    """

    name = "score"
    doing = "scoring"
    group = "user_id"

    def __init__(self, run: Run, source: Source, *, reranked: bool = True) -> None:
        super().__init__(run, source)
        self.reranked = reranked
        self.time = next((name for name in _TIMES if name in source.schema), None)
        self.order = () if self.time is None else (self.time,)
        self.key = ("user_id", "item_id", *self.order)
        source.require(("user_id", "item_id"), ids=("user_id", "item_id"), makes=tuple(self.makes))

    @property
    def makes(self) -> dict[str, pl.DataType]:
        """`probability`: P(like). `mass`: of Yes and No together. `ordered_by`: whose order a ranking of this run has."""
        return {"probability": pl.Float64(), "mass": pl.Float64(), "ordered_by": pl.String()}

    def options(self) -> dict[str, Any]:
        return {"reranked": self.reranked}

    def answer(self, rows: pl.DataFrame) -> Answers:
        """See `Job.answer`; a user or item that is not known, and a prompt that cannot be asked, is a failed row."""
        found: dict[int, FoundQuestion] = {}
        failed: dict[int, str] = {}
        shared: dict[tuple[str | None, int | None], Sequence[Event]] = {}
        times: Iterable[Any] = [None] * len(rows) if self.time is None else rows[self.time]
        for place, (user, item, time) in enumerate(zip(rows["user_id"], rows["item_id"], times, strict=True)):
            try:
                found[place] = self._find(user, item, time, shared)
            except InputError as error:
                failed[place] = _reason(error)
        answered = self._answered(found, failed)
        places = sorted(answered)
        answers = [answered[place].answer for place in places]
        order = self.run.guard.route
        columns = {
            "probability": pl.Series([one.probability for one in answers], dtype=pl.Float64),
            "mass": pl.Series([one.mass for one in answers], dtype=pl.Float64),
            "ordered_by": pl.Series([order] * len(answers), dtype=pl.String),
        }
        return Answers(columns, failed)

    def _find(self, user: Any, item: Any, time: Any, shared: dict[tuple[str | None, int | None], Sequence[Event]]) -> FoundQuestion:
        for name, value in (("user_id", user), ("item_id", item)):
            if value is None:
                raise InputError(f"{name} is missing")
        one = find_question(self.run.histories, user, item, as_of=time)
        # Candidates of one user share one history: as one list, it is told once.
        history = shared.setdefault((one.question.user_id, one.question.as_of), one.question.history)
        return one._replace(question=replace(one.question, history=history))

    def _answered(self, found: dict[int, FoundQuestion], failed: dict[int, str]) -> dict[int, Answered]:
        """All at once; one by one where a prompt among them is refused."""
        try:
            answered = answer_questions(self.run, list(found.values()), reranked=self.reranked)
            return dict(zip(found, answered, strict=True))
        except InputError:
            out = {}
            for place, one in found.items():
                try:
                    (out[place],) = answer_questions(self.run, [one], reranked=self.reranked)
                except InputError as error:
                    failed[place] = _reason(error)
            return out


def _reason(error: InputError) -> str:
    """An error in one line."""
    return "; ".join(part.strip() for part in str(error).splitlines())
