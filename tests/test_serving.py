"""A recommender that serves: many calls at once, each model loaded once, an event loop that goes on, no file read after the first."""

from __future__ import annotations

import asyncio
import shutil
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from run_copies import copy_run, reseal

from score_rag import open_recommender
from score_rag.context.judges import Judges
from score_rag.crm.artefacts import write_crm
from score_rag.crm.registry import make_model
from score_rag.data.interactions import Interactions
from score_rag.data.log import UserLog
from score_rag.documents.describer import Describer
from score_rag.encoders.encoder import TextEncoder
from score_rag.errors import InputError
from score_rag.index.reader import BehaviourIndex
from score_rag.inference.onnx import OnnxModel
from score_rag.predictor.predictor import Predictor
from score_rag.reranker.scorer import PairScorer


@pytest.fixture(scope="module")
def recommender(toy_run):
    return open_recommender(toy_run)


@pytest.fixture
def constructed(monkeypatch):
    """How often each thing that is slow to make was made."""
    counts = Counter()

    def counting(owner, name, call):
        def inner(*args, **more):
            counts[owner.__name__] += 1
            return call(*args, **more)

        return inner

    for owner, name in (
        (TextEncoder, "__init__"),
        (PairScorer, "__init__"),
        (OnnxModel, "__init__"),
        (BehaviourIndex, "__init__"),
        (UserLog, "__init__"),
    ):
        monkeypatch.setattr(owner, name, counting(owner, name, getattr(owner, name)))
    for owner, name in ((Predictor, "from_pretrained"), (Interactions, "read")):
        monkeypatch.setattr(owner, name, counting(owner, name, getattr(owner, name)))
    return counts


ONCE = {"TextEncoder": 1, "PairScorer": 1, "OnnxModel": 3, "BehaviourIndex": 1, "Predictor": 1, "Interactions": 1, "UserLog": 2}
"""Encoder, reranker and predictor are one ONNX model each; judgements are kept in two logs, all of them and those of train."""


def same(one, other) -> None:
    """Two recommendations but for the rounding that batches of other sizes bring."""
    assert (one.user_id, one.item, one.prompt, one.verdict, one.warnings) == (
        other.user_id,
        other.item,
        other.prompt,
        other.verdict,
        other.warnings,
    )
    assert one.probability == pytest.approx(other.probability, abs=1e-5)
    assert [(n.user_id, n.in_common) for n in one.neighbours] == [(n.user_id, n.in_common) for n in other.neighbours]


async def test_fifty_calls_at_once_load_each_model_once_and_answer_as_one_after_the_other(toy_run, constructed):
    asked = [(str(number % 36), str(number % 24)) for number in range(50)]
    together = open_recommender(toy_run)
    answers = await asyncio.gather(*(together.arecommend(user, item) for user, item in asked))
    assert constructed == ONCE
    alone = open_recommender(toy_run)
    for answer, (user, item) in zip(answers, asked, strict=True):
        same(answer, alone.recommend(user, item))


def test_threads_that_ask_together_load_each_model_once(toy_run, constructed):
    recommender = open_recommender(toy_run)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda user: recommender.recommend(str(user), "1").probability, range(16)))
    assert constructed == ONCE
    assert answers == [recommender.recommend(str(user), "1").probability for user in range(16)]


async def test_arecommend_leaves_nothing_to_the_event_loop_s_thread(toy_run, monkeypatch):
    """Not the loading, not the look-up, no model; an error comes back all the same."""
    recommender, threads = open_recommender(toy_run), {}

    def watched(name, call):
        def inner(*args, **more):
            threads.setdefault(name, set()).add(threading.current_thread())
            return call(*args, **more)

        return inner

    for owner, name in (
        (Interactions, "read"),
        (Predictor, "from_pretrained"),
        (Describer, "describe"),
        (TextEncoder, "encode"),
        (Judges, "nearest"),
        (PairScorer, "score_pairs"),
        (Predictor, "score"),
        (UserLog, "before"),
    ):
        monkeypatch.setattr(owner, name, watched(f"{owner.__name__}.{name}", getattr(owner, name)))
    await recommender.arecommend("3", "2")
    assert len(threads) == 8 and not any(threading.current_thread() in found for found in threads.values())
    with pytest.raises(InputError, match="no user '99'"):
        await recommender.arecommend("99", "2")


@pytest.mark.slow
async def test_the_event_loop_is_never_blocked_for_50_milliseconds(recommender):
    """Fifty calls at once beside a clock that ticks in the loop; the same calls made in the loop do block it."""

    async def lag_beside(work) -> float:
        longest, done = 0.0, False

        async def tick() -> None:
            nonlocal longest
            while not done:
                started = time.perf_counter()
                await asyncio.sleep(0.002)
                longest = max(longest, time.perf_counter() - started - 0.002)

        clock = asyncio.create_task(tick())
        await asyncio.sleep(0.01)
        await work()
        done = True
        await clock
        return longest

    asked = [(str(number % 36), str(number % 24)) for number in range(50)]

    async def beside() -> None:
        await asyncio.gather(*(recommender.arecommend(user, item) for user, item in asked))

    async def within() -> None:
        for user, item in asked:
            recommender.recommend(user, item)

    await beside()
    assert await lag_beside(within) > 0.05, "this detects what it should"
    assert sorted([await lag_beside(beside) for _ in range(3)])[1] < 0.05, "the middle of three"


@pytest.mark.parametrize("model", ["sasrec", "din"])
def test_a_second_request_reads_nothing_from_disk(toy_run, tmp_path, model):
    """After one request of each kind the run's folder is taken away, and no file is opened any more."""
    pipeline = _with_crm(toy_run, tmp_path, model)
    recommender = open_recommender(pipeline)
    films = list(recommender.run.histories.catalogue.values())
    stranger = f"{films[0].name}; {films[2].name}; -{films[1].name}"

    def ask():
        ranked = [*recommender.top("1", 3), *recommender.top(None, 3, history=stranger)]
        return [(one.item.item_id, one.probability) for one in ranked], recommender.recommend("0", "2").probability

    before = ask()
    shutil.rmtree(pipeline.runs)
    with no_file_opened():
        assert ask() == before


@contextmanager
def no_file_opened():
    """Raises where Python opens a file. (What Rust and C++ open is not seen: for those the folder is taken away.)"""
    opened, watching = [], True
    sys.addaudithook(lambda event, args: opened.append(args[0]) if watching and event == "open" else None)
    try:
        yield
    finally:
        watching = False
    assert opened == []


def _with_crm(toy_run, folder, model):
    """A copy of the toy run, whose recommender is of another kind."""
    pipeline = toy_run.model_copy(update={"runs": str(folder / "runs")})
    copy_run(toy_run.runs, pipeline.runs)
    if model != "sasrec":
        crm = Path(pipeline.runs) / "toy" / "crm"
        shutil.copy(crm / "finished.json", folder / "finished.json")
        shutil.rmtree(crm)
        interactions = Interactions.read(Path(pipeline.runs) / "toy" / "data")
        write_crm(make_model(model, dim=8).fit(interactions, epochs=1, seed=3), interactions, crm, neighbours_k=3)
        shutil.copy(folder / "finished.json", crm / "finished.json")
        reseal(crm)
    return pipeline
