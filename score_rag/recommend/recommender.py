"""One recommendation with its evidence, and a ranking of many: the library's serving object."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

from score_rag.arguments import Time, read_count
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.run import Run
from score_rag.pipeline.serving_run import ServingRun
from score_rag.pipeline.stages import STAGES
from score_rag.recommend.answering import answer_questions, explain_answer, find_ranking, rank
from score_rag.recommend.gather import Gathered
from score_rag.recommend.question import Asked, FoundQuestion, History, find_question
from score_rag.recommend.recommendation import Recommendation

__all__ = ["Recommender", "open_recommender"]

T = TypeVar("T")
R = TypeVar("R")


def open_recommender(pipeline: Pipeline) -> Recommender:
    """A recommender over a finished run, its serving index, and the feedback that has come in since.

    Raises:
        StageError: A stage of the run is not finished.
    """
    return Recommender(ServingRun.open(pipeline, stages=STAGES))


_CANDIDATES = 50
"""Candidates of the conventional recommender that `top` ranks at least."""


class Recommender:
    """Answers single questions, and ranks candidates; `RecommendWorkflow` gives the same answers as a LlamaIndex workflow.

    Thread-safe. Models and data are loaded at their first use, once, and stay in memory: later requests read no file, unless there is
    something new. Copies and pickles open the run again.

    Args:
        run: A `ServingRun` answers from the current events, as they come in; a plain `Run` from its own data alone.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        # One batch after the other: two models that share the cores take longer than one after the other.
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="score-rag-recommend")
        self._gathered: Gathered[Asked, Recommendation] = Gathered(self._recommend_all, self._worker)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._run,)

    def __repr__(self) -> str:
        return f"Recommender({self._run!r})"

    @property
    def run(self) -> Run:
        """The run to ask now: feedback that was written and a new generation of the index count from here on."""
        held = self._run
        if isinstance(held, ServingRun) and (now := held.current()) is not held:
            # Of two threads that notice it, either's is as good.
            self._run = now
            return now
        return held

    def held(self) -> Run:
        """The run that answers, without a look at whether another should take its place: a server does that beside its work."""
        return self._run

    def renew(self) -> bool:
        """Do beforehand what the next question would have to wait for; whether there was anything. For a server's spare moments."""
        held = self._run
        if not isinstance(held, ServingRun):
            return False
        now = held.current()
        if now is held:
            return False
        now.warm()
        self._run = now
        return True

    def recommend(
        self, user_id: str | int | None, item_id: str | int, *, history: History | None = None, as_of: Time | None = None
    ) -> Recommendation:
        """Will this user like this item?

        Args:
            user_id: A user of the data, or None together with `history`.
            item_id: An item of the catalogue, by id or by its name (`Heat (1995)`).
            history: What somebody outside the data judged: names in one text, as `parse_history` reads them, or a list of names, ids (a
                minus before what was disliked) or events.
            as_of: Time of the question: seconds, a `datetime`, or an ISO date or time (UTC where no zone is named). By default now; for
                an item that this user has judged already, just before that.

        Raises:
            InputError: The user, the item or a name in the history is unknown, or an argument is of another form.
        """
        run = self.run
        return explain_answer(run, answer_questions(run, [_find(run, Asked(user_id, item_id, history, as_of))])[0])

    async def arecommend(
        self, user_id: str | int | None, item_id: str | int, *, history: History | None = None, as_of: Time | None = None
    ) -> Recommendation:
        """`recommend` without blocking the event loop: loading, look-up and models run in a thread of the recommender's own.

        Calls that wait together are answered together, which saves calls of a language model behind a server; where encoders on a CPU take
        most of the time, it saves little. Answers are those of `recommend`, to rounding.
        """
        return await self._gathered.ask(Asked(user_id, item_id, history, as_of))

    def top(
        self,
        user_id: str | int | None,
        k: int,
        *,
        history: History | None = None,
        candidates: int | None = None,
        as_of: Time | None = None,
    ) -> list[Recommendation]:
        """The `k` items that this user will most likely like, among candidates of the conventional recommender.

        Args:
            user_id: A user of the data, or None together with `history`.
            k: How many to return, best first.
            history: As in `recommend`.
            candidates: How many candidates to rank; 50 by default, or twice `k` where that is more.
            as_of: As in `recommend`: the user's history, other users and statistics are those of strictly before. The recommender that
                draws the candidates was trained on all training events.

        Other users are the most alike ones, as in the ranking that the run measured: reranking for each candidate takes ten times as
        long. So probabilities may differ a little from those of `recommend`. Where the run found that its predictor orders held-out events
        worse than the recommender, the recommender's order stands (`route`). Where fewer items come than were asked for, their `warnings`
        say so.

        Raises:
            InputError: There is no history to start from, or an argument is of another form.
        """
        k = read_count(k, where="k")
        count = max(_CANDIDATES, 2 * k) if candidates is None else read_count(candidates, where="candidates")
        run = self.run
        asked = find_ranking(run, user_id, k, history=history, candidates=count, as_of=as_of)
        return rank(run, asked, k)

    async def atop(
        self,
        user_id: str | int | None,
        k: int,
        *,
        history: History | None = None,
        candidates: int | None = None,
        as_of: Time | None = None,
    ) -> list[Recommendation]:
        """`top` without blocking the event loop, in the thread of `arecommend`."""
        call = partial(copy_context().run, self.top, user_id, k, history=history, candidates=candidates, as_of=as_of)
        return await asyncio.get_running_loop().run_in_executor(self._worker, call)

    def _recommend_all(self, asked: Sequence[Asked]) -> list[Recommendation | Exception]:
        """One answer a question; what is wrong with one of them is not the others' affair."""
        return self._all_of(self.run, asked)

    def _all_of(self, run: Run, asked: Sequence[Asked]) -> list[Recommendation | Exception]:
        found = [_or_error(partial(_find, run), one) for one in asked]
        known = [one for one in found if not isinstance(one, Exception)]
        try:
            answers = iter([_or_error(partial(explain_answer, run), one) for one in answer_questions(run, known)] if known else [])
        except Exception as error:  # noqa: BLE001  # whoever asked gets it
            if len(asked) == 1:
                return [error]
            return [answer for one in asked for answer in self._all_of(run, [one])]
        return [one if isinstance(one, Exception) else next(answers) for one in found]


def _find(run: Run, asked: Asked) -> FoundQuestion:
    return find_question(run.histories, asked.user_id, asked.item_id, history=asked.history, as_of=asked.as_of)


def _or_error(act: Callable[[T], R], given: T) -> R | Exception:
    try:
        return act(given)
    except Exception as error:  # noqa: BLE001  # whoever asked gets it
        return error
