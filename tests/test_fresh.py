"""What comes in after training is known where it should be, at once, and nowhere else; answers change the way they should."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from fresh_world import NOW, chances, even, judged, told_question

from score_rag import RecommendWorkflow, open_recommender
from score_rag.context.finder import ContextFinder
from score_rag.context.writer import QuestionWriter
from score_rag.feedback.record import Feedback
from score_rag.pipeline import serving_index
from score_rag.pipeline.fresh import open_feedback
from score_rag.recommend.workflow import RerankedEvent


@pytest.mark.parametrize("taste", [0, 1])
def test_a_new_user_is_known_at_once_and_ten_judgements_say_what_they_like(fresh, taste):
    recommender = open_recommender(fresh)
    recommender.recommend("0", "1")
    items = [str(number) for number in range(4, 14)]
    open_feedback(fresh).append(judged("new", items, liked=lambda item: int(item) % 2 == taste))
    means = chances(recommender, "new")
    assert means[taste] > means[1 - taste] + 0.02, (
        "the toy predictor is a small one; of somebody without a history it says the same of both"
    )
    assert len(recommender.run.histories.log.of("new")) == 10
    top = recommender.top("new", 4)
    assert sum(int(one.item.item_id) % 2 == taste for one in top) >= 3 and not {one.item.item_id for one in top} & set(items)


def test_a_user_whose_taste_turns_is_answered_otherwise(fresh):
    """User 0 likes even films; ten newer judgements say the opposite."""
    recommender = open_recommender(fresh)
    log = recommender.run.histories.log
    asked = [item for item in recommender.run.histories.catalogue if item not in {event.item_id for event in log.of("0")}]
    before = {item: recommender.recommend("0", item).probability for item in asked}
    turned = [event.item_id for event in log.of("0")][:10]
    open_feedback(fresh).append(judged("0", turned, liked=lambda item: not even(item)))
    after = {item: recommender.recommend("0", item).probability for item in asked}
    liked, other = ([after[item] - before[item] for item in asked if even(item) == kind] for kind in (True, False))
    assert sum(other) / len(other) > sum(liked) / len(liked)


def test_others_know_of_it_at_once(fresh):
    """Statistics, verdicts of neighbours, judges."""
    recommender = open_recommender(fresh)
    item = "4"
    run = recommender.run
    run.warm()
    rates = run.writer.evidence.rates
    before = rates.counts(item, None)
    user = next(name for name in run.histories.log.users if run.interactions.train_log.verdict(name, item, None) is None)
    open_feedback(fresh).append(judged(user, [item], liked=lambda _: False))
    assert recommender.run is run, "nothing is counted anew"
    assert rates.counts(item, None) == (before[0], before[1] + 1)
    assert run.interactions.train_log.verdict(user, item, None) is False
    assert run.judges.before(item, None, None)[user] is False
    assert rates.counts(item, NOW) == before and run.interactions.train_log.verdict(user, item, NOW) is None, "but not before it was said"


async def test_a_workflow_answers_from_the_current_events(fresh):
    flow = RecommendWorkflow.from_run(fresh)
    open_feedback(fresh).append(judged("new", ["4", "5", "6"], liked=even))
    told = await flow.ask("new", "2")
    assert told.recommendation.prompt == open_recommender(fresh).recommend("new", "2").prompt
    serving_index.build(fresh)
    assert (await flow.ask("new", "2")).recommendation.prompt == open_recommender(fresh).recommend("new", "2").prompt


async def test_a_question_under_way_keeps_to_the_parts_that_it_began_with(fresh, monkeypatch):
    """Another question renews the workflow between its steps."""
    monkeypatch.setattr("score_rag.pipeline.serving_run._MANY", 3)
    flow, used = RecommendWorkflow.from_run(fresh), []
    before, keep, write = open_recommender(fresh).recommend("1", "2"), ContextFinder.keep, QuestionWriter.write

    def keeping(self, *given, **more):
        if not used:
            open_feedback(fresh).append(judged("new", ["2", "4", "5", "6", "7"], liked=even))
            used.append(self)
            other = asyncio.run(flow.ask("new", "2"))
            assert other.recommendation.prompt == open_recommender(fresh).recommend("new", "2").prompt
        used.append(self)
        return keep(self, *given, **more)

    monkeypatch.setattr(ContextFinder, "keep", keeping)
    monkeypatch.setattr(QuestionWriter, "write", lambda self, *given, **more: used.append(self) or write(self, *given, **more))
    first, writer = flow.finder, flow.writer
    told = await flow.ask("1", "2")
    assert flow.finder is not first and flow.writer is not writer
    assert used[0] is first and used[-2:] == [first, writer]
    assert told.recommendation.prompt == before.prompt and told.recommendation.evidence == before.evidence
    assert "_parts" not in str(RerankedEvent(asked=told_question(flow), kept=[], retrieved=[], _parts=flow._parts).model_dump())


def test_a_bulk_of_news_is_counted_anew_and_the_answers_are_the_same(fresh, monkeypatch):
    monkeypatch.setattr("score_rag.pipeline.serving_run._MANY", 3)
    recommender = open_recommender(fresh)
    recommender.recommend("0", "1")
    run = recommender.run
    open_feedback(fresh).append(judged("new", ["4", "5", "6", "7", "8"], liked=even))
    found = recommender.recommend("new", "2")
    assert recommender.run is not run and recommender.run.predictor is run.predictor
    assert found.prompt == open_recommender(fresh).recommend("new", "2").prompt


def test_a_thousand_judgements_cost_little(fresh):
    recommender = open_recommender(fresh)
    recommender.run.warm()
    log = open_feedback(fresh)
    log.append([Feedback(str(n), f"u{n % 50}", str(n % 24), n % 3 > 0, NOW + n) for n in range(1000)])
    started = time.perf_counter()
    recommender.run.catch_up()
    assert time.perf_counter() - started < 1.0 and len(recommender.run.histories.log) == 36 + 50
    assert json.loads(log.path.read_bytes().splitlines()[0])["v"] == 1
