"""One recommendation with its evidence, and a ranking of many: the library's serving object."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from score_rag.context.question import Question
from score_rag.context.writer import Told
from score_rag.data.log import Event
from score_rag.errors import InputError
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.run import Run
from score_rag.pipeline.stages import STAGES
from score_rag.predictor.predictor import Answer
from score_rag.recommend.candidates import find_candidates
from score_rag.recommend.explain import explain
from score_rag.recommend.question import FoundQuestion, find_history, find_question
from score_rag.recommend.recommendation import Recommendation

__all__ = ["Recommender", "open_recommender"]


def open_recommender(pipeline: Pipeline) -> Recommender:
    """A recommender over a finished run.

    Raises:
        StageError: A stage of the run is not finished.
    """
    return Recommender(Run.open(pipeline, stages=STAGES))


_CANDIDATES = 50
"""Candidates of the conventional recommender that `top` ranks at least."""


class Recommender:
    """Answers single questions, and ranks candidates; `RecommendWorkflow` gives the same answers as a LlamaIndex workflow.

    Thread-safe. Models and data are loaded at their first use, once, and stay in memory: later requests read no file.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        # One question after the other: two models that share the cores take longer than one after the other.
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="score-rag-recommend")

    def recommend(
        self, user_id: str | None, item_id: str, *, history: str | Sequence[Event] | None = None, as_of: int | None = None
    ) -> Recommendation:
        """Will this user like this item?

        Args:
            user_id: A user of the data, or None together with `history`.
            item_id: An item of the catalogue, by id or by its name (`Heat (1995)`).
            history: What somebody outside the data judged: names, as `parse_history` reads them, or events.
            as_of: Time of the question, seconds. By default now; for an item that this user has judged already, just before that.

        Raises:
            InputError: The user, the item or a name in the history is unknown.
        """
        asked = find_question(self.run.histories, user_id, item_id, history=history, as_of=as_of)
        return self._explain(self._answer([asked])[0])

    async def arecommend(
        self, user_id: str | None, item_id: str, *, history: str | Sequence[Event] | None = None, as_of: int | None = None
    ) -> Recommendation:
        """`recommend` without blocking the event loop: loading, look-up and models run in a thread of the recommender's own.

        Concurrent calls are answered one after the other, in the order in which they came.
        """
        call = partial(copy_context().run, self.recommend, user_id, item_id, history=history, as_of=as_of)
        return await asyncio.get_running_loop().run_in_executor(self._worker, call)

    def top(
        self, user_id: str | None, k: int, *, history: str | Sequence[Event] | None = None, candidates: int | None = None
    ) -> list[Recommendation]:
        """The `k` items that this user will most likely like, among candidates of the conventional recommender.

        Args:
            user_id: A user of the data, or None together with `history`.
            k: How many to return, best first.
            history: As in `recommend`.
            candidates: How many candidates to rank; 50 by default, or twice `k` where that is more.

        Other users are the most alike ones, as in the ranking that the run measured: reranking for each candidate takes ten times as
        long. So probabilities may differ a little from those of `recommend`. Where the run found that its predictor orders held-out events
        worse than the recommender, the recommender's order stands (`route`).

        Raises:
            InputError: There is no history to start from.
        """
        interactions = self.run.histories
        events = find_history(interactions, user_id, history, None)
        if not events:
            raise InputError("a ranking needs a history", hint='give one, by names: "Heat (1995); Ronin (1998)"')
        count = candidates or max(_CANDIDATES, 2 * k)
        item_ids = find_candidates(self.run, user_id if history is None else None, events, count)
        asked = [FoundQuestion(Question(user_id, item_id, events, None), interactions.catalogue[item_id], ()) for item_id in item_ids]
        if self.run.guard.route == "recommender":
            # The recommender orders better: its order stands, and only what is shown is asked about.
            return [replace(self._explain(answered), route="recommender") for answered in self._answer(asked[:k], reranked=False)]
        # Sorting is stable: of equal probabilities, the recommender's order decides.
        best = sorted(self._answer(asked, reranked=False), key=lambda answered: -answered.answer.probability)[:k]
        return [self._explain(answered) for answered in best]

    def _answer(self, asked: Sequence[FoundQuestion], *, reranked: bool = True) -> list[_Answered]:
        _, told = self.run.write([one.question for one in asked], reranked=reranked)
        answers = self.run.predictor.score([one.text for one in told])
        return [_Answered(*row) for row in zip(asked, told, answers, strict=True)]

    def _explain(self, answered: _Answered) -> Recommendation:
        asked, told, answer = answered
        run = self.run
        return explain(asked, told, answer, witnesses=run.writer.witnesses, parts=run.provenance, warnings=run.guard.warnings)


class _Answered(NamedTuple):
    asked: FoundQuestion
    told: Told
    answer: Answer
