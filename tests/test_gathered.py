"""Concurrent questions are answered in batches: each its own answer or its own error, and the language model is asked once for all."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest

from score_rag import open_recommender
from score_rag.errors import InputError, ModelError
from score_rag.predictor.predictor import Predictor
from score_rag.recommend.gather import Gathered

WHO: ContextVar[str] = ContextVar("WHO", default="nobody")


@pytest.fixture
def worker():
    with ThreadPoolExecutor(1) as pool:
        yield pool


async def test_what_comes_together_is_one_batch_in_order(worker):
    batches = []

    def answer(asked):
        batches.append(list(asked))
        return [10 * one for one in asked]

    gathered = Gathered(answer, worker, most=20)
    assert await asyncio.gather(*map(gathered.ask, range(50))) == [10 * one for one in range(50)]
    assert batches == [list(range(20)), list(range(20, 40)), list(range(40, 50))]
    assert await gathered.ask(7) == 70 and batches[-1] == [7], "a call alone waits for nobody"


async def test_of_several_threads_each_takes_its_share_of_what_waits():
    both, batches = threading.Barrier(2, timeout=10), []

    def answer(asked):
        batches.append(list(asked))
        # Neither goes on before the other has something to do.
        both.wait()
        return list(asked)

    with ThreadPoolExecutor(2) as pool:
        gathered = Gathered(answer, pool, threads=2, size=lambda asked: asked)
        assert await asyncio.gather(*map(gathered.ask, (3, 1, 2, 2, 2))) == [3, 1, 2, 2, 2]
    # Of ten, five at most; of the six that are left, three; of four, two. What is asked last need not wait for all the rest.
    assert sorted(batches) == [[2], [2], [2], [3, 1]], batches


async def test_an_error_is_its_own_call_s_and_a_broken_batch_is_everybody_s(worker):
    gathered = Gathered(lambda asked: [InputError("odd") if one % 2 else one for one in asked], worker)
    found = await asyncio.gather(*map(gathered.ask, range(4)), return_exceptions=True)
    assert found[0] == 0 and found[2] == 2 and all(isinstance(found[n], InputError) for n in (1, 3))

    def broken(asked):
        raise ModelError("it broke")

    found = await asyncio.gather(*map(Gathered(broken, worker).ask, range(3)), return_exceptions=True)
    assert [type(one) for one in found] == [ModelError] * 3


async def test_who_gives_up_is_left_out_and_the_others_are_answered(worker):
    go, batches = threading.Event(), []

    def answer(asked):
        batches.append(list(asked))
        go.wait(5)
        return list(asked)

    gathered = Gathered(answer, worker)
    first = asyncio.create_task(gathered.ask("first"))
    while not batches:
        await asyncio.sleep(0.001)
    waiting = [asyncio.create_task(gathered.ask(name)) for name in ("gone", "stays")]
    await asyncio.sleep(0.01)
    waiting[0].cancel()
    await asyncio.sleep(0)
    go.set()
    assert await first == "first" and await waiting[1] == "stays" and batches == [["first"], ["stays"]]
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]


async def test_a_batch_runs_in_its_first_caller_s_context(worker):
    gathered = Gathered(lambda asked: [WHO.get()] * len(asked), worker)
    WHO.set("somebody")
    assert await gathered.ask(1) == "somebody"


def test_one_recommender_serves_several_event_loops(worker):
    gathered = Gathered(lambda asked: [threading.get_ident()] * len(asked), worker)
    assert asyncio.run(gathered.ask(1)) == asyncio.run(gathered.ask(2)) != threading.get_ident()


@pytest.fixture(scope="module")
def recommender(toy_run):
    opened = open_recommender(toy_run)
    opened.recommend("0", "1")
    return opened


async def test_questions_and_mistakes_side_by_side(recommender):
    asked = [("0", "1"), ("99", "1"), (3, 2), ("0", "no such film"), (None, "4")]
    found = await asyncio.gather(*(recommender.arecommend(user, item) for user, item in asked), return_exceptions=True)
    for (user, item), one in zip(asked, found, strict=True):
        try:
            alone = recommender.recommend(user, item)
        except InputError as error:
            assert isinstance(one, InputError) and str(one) == str(error)
        else:
            assert one.prompt == alone.prompt and one.probability == pytest.approx(alone.probability, abs=1e-5)
    assert [isinstance(one, InputError) for one in found] == [False, True, False, True, True]


async def test_a_model_that_fails_for_one_question_fails_for_no_other(recommender, monkeypatch):
    bad = recommender.recommend("2", "3").prompt
    plain = Predictor.score

    def score(self, prompts, **more):
        if bad in prompts:
            raise ModelError("it broke")
        return plain(self, prompts, **more)

    monkeypatch.setattr(Predictor, "score", score)
    found = await asyncio.gather(*(recommender.arecommend(user, "3") for user in (0, 2, 4)), return_exceptions=True)
    assert isinstance(found[1], ModelError) and found[0].user_id == "0" and found[2].user_id == "4"


async def test_fifty_at_once_ask_the_language_model_once_or_twice(recommender, monkeypatch):
    """Of a model behind a network it is the requests that cost time: fifty one after another, at most two together."""
    plain, calls = Predictor.score, []

    def counted(self, prompts, **more):
        calls.append(len(prompts))
        return plain(self, prompts, **more)

    monkeypatch.setattr(Predictor, "score", counted)
    asked = [(str(number % 36), str(number % 24)) for number in range(50)]
    together = await asyncio.gather(*(recommender.arecommend(*one) for one in asked))
    assert len(calls) <= 2 and sum(calls) == 50
    alone = [await recommender.arecommend(*one) for one in asked]
    assert calls[-50:] == [1] * 50
    assert [one.probability for one in together] == pytest.approx([one.probability for one in alone], abs=1e-5)
