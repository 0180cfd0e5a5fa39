"""The workflow of a run: it looks histories up, streams every event, and answers as `Recommender.recommend` does, whatever is asked."""

from __future__ import annotations

import asyncio
import random
import threading

import pytest

from score_rag import RecommendWorkflow, open_recommender
from score_rag.cli.recommend import recommendations
from score_rag.errors import InputError, StageError
from score_rag.recommend.question import find_question
from score_rag.recommend.workflow import AnsweredEvent, QuestionEvent, RerankedEvent, RetrievedEvent


@pytest.fixture(scope="module")
def recommender(toy_run):
    return open_recommender(toy_run)


@pytest.fixture(scope="module")
def flow(recommender):
    return RecommendWorkflow.from_run(recommender.run)


@pytest.fixture(scope="module")
def unseen(recommender):
    """An item that user 0 has not judged."""
    judged = {event.item_id for event in recommender.run.interactions.log.of("0")}
    return next(item for name, item in recommender.run.interactions.catalogue.items() if name not in judged)


def some_questions(interactions, count, seed):
    """Users, items by id and name, times, strangers with typed histories, users without history, items already judged."""
    draw = random.Random(seed)
    catalogue, log = interactions.catalogue, interactions.log
    users, items = log.users, list(catalogue.values())
    first, last = log.of(users[0])[0].timestamp, interactions.train_end
    for number in range(count):
        user, item = draw.choice(users), draw.choice(items)
        name = draw.choice([item.item_id, item.name, item.title.upper()])
        kind = number % 6
        if kind == 0:
            yield {"user_id": user, "item_id": name}
        elif kind == 1:
            yield {"user_id": user, "item_id": name, "as_of": draw.randint(first, last + 1000)}
        elif kind == 2:
            typed = "; ".join(draw.choice(["", "-"]) + one.name for one in draw.sample(items, draw.randint(1, 6)))
            yield {"user_id": None, "item_id": name, "history": typed, "as_of": draw.choice([None, draw.randint(first, last)])}
        elif kind == 3:
            yield {"user_id": user, "item_id": name, "as_of": log.of(user)[0].timestamp}
        elif kind == 4:
            yield {"user_id": user, "item_id": draw.choice(log.of(user)).item_id}
        else:
            yield {"user_id": None, "item_id": name, "history": list(log.of(user)), "as_of": draw.choice([None, draw.randint(first, last)])}


async def test_whatever_is_asked_the_workflow_and_recommend_agree(flow, recommender):
    """Equal retrieved ids, kept ids, prompt text and probability, over 72 questions of six kinds."""
    run = recommender.run
    seen = set()
    for asked in some_questions(run.interactions, 72, seed=5):
        ours = recommender.recommend(**asked)
        context = run.finder.find([find_question(run.interactions, asked.pop("user_id"), asked.pop("item_id"), **asked).question])[0]
        theirs = await flow.run(user_id=ours.user_id, item_id=ours.item.item_id, **asked)
        assert [node.metadata["user_id"] for node in theirs.retrieved] == context.retrieved_ids
        assert [node.metadata["user_id"] for node in theirs.kept] == [hit.user_id for hit, _ in context.kept]
        assert theirs.recommendation.prompt == ours.prompt
        assert theirs.probability == pytest.approx(ours.probability, abs=1e-6)
        assert [one.user_id for one in theirs.recommendation.neighbours] == [one.user_id for one in ours.neighbours]
        assert theirs.recommendation.warnings == ours.warnings and theirs.recommendation.parts == ours.parts
        seen.add((bool(theirs.kept), any("just before" in said for said in ours.warnings), ours.user_id is None))
    assert {(True, False, False), (True, True, False), (True, False, True), (False, False, False)} <= seen, "every kind was asked"


async def test_an_item_goes_by_its_name_and_a_pipeline_by_its_path(toy_run, toy_pipeline, unseen):
    flow = await asyncio.to_thread(RecommendWorkflow.from_run, toy_pipeline)
    answered = await flow.run(user_id="0", item_id=unseen.name)
    assert answered.recommendation.item == unseen and len(answered.kept) == 2
    (typed,) = recommendations("0", unseen.item_id, str(toy_pipeline), history=None, top=None, as_of=None, overrides=[])
    assert answered.probability == pytest.approx(typed.probability, abs=1e-6), "as the command line answers"


async def test_every_event_is_streamed_in_order_with_its_types(flow, unseen):
    handler = flow.run(user_id="0", item_id=unseen.item_id)
    events = [event async for event in handler.stream_events()]
    asked, retrieved, reranked, answered = events
    assert isinstance(asked, QuestionEvent) and (asked.user_id, asked.item_id) == ("0", unseen.item_id)
    assert isinstance(retrieved, RetrievedEvent) and retrieved.query and len(retrieved.nodes) == 6
    assert retrieved.asked.question.history and retrieved.asked.item == unseen
    assert isinstance(reranked, RerankedEvent) and reranked.retrieved == retrieved.nodes and len(reranked.kept) == 2
    assert {node.node_id for node in reranked.kept} <= {node.node_id for node in retrieved.nodes}
    assert isinstance(answered, AnsweredEvent) and answered.kept == reranked.kept and 0 < answered.probability < 1
    assert (await handler).recommendation == answered.recommendation
    assert '"probability"' in answered.model_dump_json() and '"history"' in retrieved.model_dump_json(), "a server can send them"


@pytest.mark.parametrize(
    "asked",
    [
        {"user_id": "99", "item_id": "0"},
        {"user_id": "0", "item_id": "Sunny Gardn (1980)"},
        {"user_id": None, "item_id": "0"},
        {"user_id": None, "item_id": "0", "history": "Sunny Gardn (1980)"},
    ],
)
async def test_what_is_unknown_is_the_same_error_as_of_recommend(flow, recommender, asked):
    with pytest.raises(InputError) as ours:
        recommender.recommend(**asked)
    with pytest.raises(InputError) as theirs:
        await flow.run(**asked)
    assert str(theirs.value) == str(ours.value) and theirs.value.hint == ours.value.hint


async def test_built_by_hand_from_a_run_s_parts_it_looks_histories_up_too(toy_parts, recommender, unseen):
    parts = toy_parts
    flow = RecommendWorkflow(parts.finder, parts.writer, parts.predictor, parts.interactions)
    answered = await flow.run(start_event=QuestionEvent(user_id="0", item_id=unseen.item_id))
    assert answered.recommendation.prompt == recommender.recommend("0", unseen.item_id).prompt and len(answered.kept) == 2


async def test_many_workflows_at_once_answer_as_one_after_the_other(flow, recommender):
    asked = [(str(user), str(item)) for user in range(5) for item in range(4)]
    together = await asyncio.gather(*(flow.run(user_id=user, item_id=item) for user, item in asked))
    for (user, item), answered in zip(asked, together, strict=True):
        assert answered.probability == pytest.approx(recommender.recommend(user, item).probability, abs=1e-6)


async def test_no_look_up_and_no_model_runs_in_the_event_loop_s_thread(flow, monkeypatch):
    import score_rag.recommend.workflow as module

    threads = {}

    def watched(name, call):
        def inner(*args, **more):
            threads.setdefault(name, set()).add(threading.current_thread())
            return call(*args, **more)

        return inner

    for name in ("find_question", "explain"):
        monkeypatch.setattr(module, name, watched(name, getattr(module, name)))
    finder = flow.finder
    for owner, name in ((finder.describer, "describe"), (finder.encoder, "encode"), (flow.writer, "write"), (flow.predictor, "score")):
        monkeypatch.setattr(owner, name, watched(name, getattr(owner, name)))
    monkeypatch.setattr(finder.scorer, "score_pairs", watched("score_pairs", finder.scorer.score_pairs))
    await flow.run(user_id="3", item_id="2")
    assert set(threads) == {"find_question", "explain", "describe", "encode", "write", "score", "score_pairs"}
    assert not any(threading.current_thread() in found for found in threads.values())


def test_an_unfinished_run_is_named_before_anything_is_asked(toy_run, tmp_path):
    with pytest.raises(StageError, match="'data' of 'toy' is not finished"):
        RecommendWorkflow.from_run(toy_run.model_copy(update={"runs": str(tmp_path)}))
