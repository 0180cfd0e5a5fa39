"""What comes in after training is known where it should be, at once, and nowhere else; answers change the way they should."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from score_rag import RecommendWorkflow, open_recommender
from score_rag.cli import main
from score_rag.cli.explain import one as explained_one
from score_rag.cli.feedback import forgotten
from score_rag.cli.ingest import ingested
from score_rag.cli.recommend import staleness
from score_rag.context.finder import ContextFinder
from score_rag.context.writer import QuestionWriter
from score_rag.data.log import Item
from score_rag.errors import InputError
from score_rag.evaluation.evaluate import open_run
from score_rag.feedback.record import Feedback
from score_rag.pipeline import serving_index
from score_rag.pipeline.fresh import open_feedback
from score_rag.recommend.question import find_question
from score_rag.recommend.workflow import RerankedEvent

NOW = 1_700_000_000


def judged(user, items, *, liked=lambda item: True, first=NOW, **more):
    return [Feedback(f"{user}-{item}-{first}", user, item, liked(item), first + n, **more) for n, item in enumerate(items)]


def even(item):
    return int(item) % 2 == 0


def chances(recommender, user):
    """Mean P(like) of the even and of the odd films that nobody of the data was asked about before."""
    log = recommender.run.histories.log
    seen = {event.item_id for event in log.of(user)}
    free = [item for item in recommender.run.histories.catalogue if item not in seen]
    means = []
    for taste in (0, 1):
        some = [item for item in free if int(item) % 2 == taste][:3]
        means.append(sum(recommender.recommend(user, item).probability for item in some) / len(some))
    return means


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


def test_one_by_one_and_all_at_once_are_the_same(fresh):
    """A run that took judgements in as they came, and one that found them in the log; overwritten and backdated ones among them."""
    slow = open_recommender(fresh)
    slow.run.warm()
    log = open_feedback(fresh)
    told = judged("new", ["4", "5", "6"], liked=even) + judged("0", ["7", "8"], first=1_000_050_000)
    facts = Item("x1", "Sunny Kite", 1990, ("Comedy",), (), ("wedding",))
    told += [Feedback("x", "3", "x1", True, NOW, item=facts), Feedback("y", "3", "x2", True, NOW + 1)]
    for one in told:
        log.append([one])
        slow.run.catch_up()
    log.append([Feedback(told[0].event_id, "new", "9", False, NOW + 9), told[3]], overwrite=True)
    quick = open_recommender(fresh)
    for user, item in [("new", "2"), ("0", "1"), ("5", "x1"), ("3", "2"), ("5", "x2"), ("new", "4"), ("0", "7")]:
        one, other = slow.recommend(user, item), quick.recommend(user, item)
        assert (one.prompt, one.warnings, one.item) == (other.prompt, other.warnings, other.item)
        assert one.probability == pytest.approx(other.probability, abs=1e-6)
    a, b = slow.run, quick.run
    assert {user: a.histories.log.of(user) and [e[:4] for e in a.histories.log.of(user)] for user in b.histories.log.users} == {
        user: [e[:4] for e in b.histories.log.of(user)] for user in b.histories.log.users
    }
    assert known_of(a) == known_of(b)
    for when in (None, NOW, NOW + 1, NOW + 5, NOW + 10, 1_000_050_000, 1_000_050_001, 1_000_030_000):
        assert a.writer.evidence.rates.mean(when) == b.writer.evidence.rates.mean(when)
        for item in b.histories.catalogue:
            assert a.writer.evidence.rates.counts(item, when) == b.writer.evidence.rates.counts(item, when)
            assert a.judges.before(item, when, None) == b.judges.before(item, when, None)


def known_of(run):
    """All that a run's parts hold of judgements."""
    world, rates = run.interactions, run.writer.evidence.rates
    items = sorted(world.catalogue)
    times = (None, 1_000_050_001, NOW, NOW + 5)
    return {
        "log": {user: sorted(event[:4] for event in world.log.of(user)) for user in sorted(world.log.users)},
        "train": {user: sorted(event[:4] for event in world.train_log.of(user)) for user in sorted(world.train_log.users)},
        "rates": {(item, when): rates.counts(item, when) for item in items for when in times},
        "means": [rates.mean(when) for when in times],
        "judges": {(item, when): dict(sorted(run.judges.before(item, when, None).items())) for item in items for when in times},
        "crowd": [run.judges.rates.mean(when) for when in times],
    }


@pytest.mark.parametrize("indexed", [False, True])
def test_what_is_forgotten_is_as_if_it_had_never_come(fresh, indexed):
    """Also where it stood in the place of the data's own judgements, of all splits, or of another judgement of the same second."""
    if indexed:
        serving_index.build(fresh)
    clean = known_of(warmed(fresh))
    run, log = warmed(fresh), open_feedback(fresh)
    held_out = next(iter(run.interactions.rows("test")), None)
    own = [run.interactions.log.of("0")[0], run.interactions.log.of("3")[-1], *([held_out] if held_out else [])]
    against = [Feedback(f"own{n}", one.user_id, one.item_id, not one.liked, one.timestamp) for n, one in enumerate(own)]
    told = [*judged("new", ["4", "5"]), *judged("0", ["7", "8"]), *against]
    log.append(told)
    log.append([Feedback("twice", "new", "4", False, NOW)])
    run.catch_up()
    assert known_of(run) == known_of(warmed(fresh)) != clean
    log.append([replace(told[0], liked=True, item_id="9")], overwrite=True)
    run.catch_up()
    assert known_of(run) == known_of(warmed(fresh)), "what was moved away took nobody else's judgement with it"
    late = warmed(fresh)
    log.forget(["twice"])
    log.forget(user_id="new")
    log.forget([one.event_id for one in told])
    for one in (run, late):
        one.catch_up()
        assert known_of(one) == known_of(warmed(fresh)) == clean
        assert "new" not in one.histories.log


def warmed(pipeline):
    run = open_recommender(pipeline).run
    run.warm()
    return run


def test_the_index_tells_of_nobody_who_was_forgotten_after_its_next_update(fresh):
    log = open_feedback(fresh)
    log.append(judged("gone", ["2", "4", "6", "8", "10"]))
    serving_index.build(fresh)
    assert "gone" in set(open_recommender(fresh).run.index.documents["user_id"])
    log.forget(user_id="gone")
    assert not all(one.ok for one in serving_index.check(fresh)), "it says that it is behind"
    serving_index.update(fresh)
    recommender = open_recommender(fresh)
    assert "gone" not in set(recommender.run.index.documents["user_id"])
    with pytest.raises(InputError, match="gone"):
        recommender.recommend("gone", "1")


def test_the_command_takes_it_off_the_disk(fresh):
    log = open_feedback(fresh)
    log.append([*judged("gone", ["2", "4"]), *judged("stays", ["2"])])
    recommender = open_recommender(fresh)
    recommender.recommend("gone", "1")
    ids, told = forgotten(str(fresh.path), ["gone", "gone"], ["nobody"], [])
    assert len(ids) == 2 and (told.kept, told.removed) == (1, 4)
    assert b"gone" not in log.path.read_bytes()
    with pytest.raises(InputError, match="gone"):
        recommender.recommend("gone", "1")
    assert len(recommender.run.histories.log.of("stays")) == 1
    assert forgotten(str(fresh.path), ["gone"], [], [])[0] == []
    with pytest.raises(InputError, match="whose feedback"):
        forgotten(str(fresh.path), [], [], [])


def test_which_items_are_near_is_found_anew_only_where_items_are_new(fresh):
    """Looking for the nearest of a large catalogue takes longer than a question."""
    recommender = open_recommender(fresh)
    recommender.run.warm()
    judges = recommender.run.finder.judges
    near = judges._items_near("4", None)
    kept = judges._near_items
    open_feedback(fresh).append(judged("new", ["4", "5"]))
    assert recommender.run.finder.judges is judges and judges._near_items is kept and list(kept) == ["4"]
    like = recommender.run.histories.catalogue["4"]
    facts = replace(like, item_id="x1", title="Sunny Kite")
    open_feedback(fresh).append([Feedback("x", "3", "x1", True, NOW, item=facts)])
    assert "4" not in recommender.run.finder.judges._near_items
    log = open_recommender(fresh).run
    log.warm()
    assert judges._items_near("4", None) == log.finder.judges._items_near("4", None) != near
    assert judges._items_near("4", NOW) == near, "whoever is asked about the time before knows nothing of it"


def test_a_new_item_can_be_asked_about_liked_and_recommended(fresh):
    recommender = open_recommender(fresh)
    recommender.recommend("0", "1")
    kite = Item("kite", "Sunny Kite", 1990, ("Comedy", "Romance"), ("Director 00",), ("wedding",))
    open_feedback(fresh).append([Feedback("k", "2", "kite", True, NOW, item=kite)])
    found = recommender.recommend("0", "Sunny Kite (1990)")
    assert found.item == kite and 0 < found.probability < 1
    assert found.evidence["expectation.lightgcn"].value is None, "no model was trained on it, and none pretends to know"
    assert recommender.recommend("2", "0").prompt.count("Sunny Kite") >= 0 and recommender.top("2", 3)
    assert "kite" in [one.item.item_id for one in recommender.top("0", 24, candidates=24)]


def test_evaluation_knows_nothing_of_feedback(fresh):
    run = open_run(fresh)
    events = list(run.interactions.rows("test"))[:6]
    before = [told.text for told in run.write(run.finder.questions(events))[1]]
    open_feedback(fresh).append(judged("1", ["2", "4", "6"], first=1_000_000_000))
    serving_index.build(fresh)
    again = open_run(fresh)
    told = [told.text for told in again.write(again.finder.questions(events))[1]]
    assert told == before
    assert [a.probability for a in again.predictor.score(told)] == [a.probability for a in run.predictor.score(before)]


def test_the_index_follows_the_source_and_is_switched_without_a_gap(fresh):
    recommender = open_recommender(fresh)
    first = recommender.recommend("0", "1")
    assert recommender.run.generation == 0
    serving_index.build(fresh)
    with_index = recommender.recommend("0", "1")
    assert recommender.run.generation == 1 and with_index.item == first.item
    models = recommender.run.predictor, recommender.run.encoder
    file = Path(fresh.data.path) / "interactions.csv"
    table = pl.read_csv(file)
    more = pl.DataFrame(
        {"user_id": [99] * 8, "item_id": list(range(8)), "label": [1, 0] * 4, "timestamp": [1_000_200_000 + n for n in range(8)]}
    )
    more = more.with_columns(split=pl.lit("test")).select(pl.col(name).cast(kind) for name, kind in table.schema.items())
    pl.concat([table, more]).write_csv(file)
    open_feedback(fresh).append(judged("fed", [str(n) for n in range(8)], liked=even))
    written = serving_index.update(fresh)
    assert written.generation == 2 and 0 < written.embedded <= 4, "only users who changed are embedded again"
    found = recommender.recommend("99", "10")
    assert found.user_id == "99" and recommender.run.generation == 2
    assert (recommender.run.predictor, recommender.run.encoder) == models, "what was trained is not loaded again"
    others = recommender.run.index.documents["user_id"]
    assert {"99", "fed"} <= set(others)
    assert serving_index.follows_source(fresh) and all(one.ok for one in serving_index.check(fresh))
    file.write_text(file.read_text() + "98,1,1,1000300000,test\n")
    assert not serving_index.follows_source(fresh)


async def test_a_workflow_answers_from_the_current_events(fresh):
    flow = RecommendWorkflow.from_run(fresh)
    open_feedback(fresh).append(judged("new", ["4", "5", "6"], liked=even))
    told = await flow.ask("new", "2")
    assert told.recommendation.prompt == open_recommender(fresh).recommend("new", "2").prompt
    serving_index.build(fresh)
    assert (await flow.ask("new", "2")).recommendation.prompt == open_recommender(fresh).recommend("new", "2").prompt


def test_a_file_is_taken_in_by_the_rules_of_the_data_once(fresh, tmp_path):
    file = tmp_path / "news.csv"
    file.write_text("user_id,item_id,label,timestamp\nnew,4,1,2023-11-14\nnew,5,0,1700000000\n")
    done, facts = ingested(str(fresh.path), file, items=None, overrides=[], quiet=True)
    assert len(done.added) == 2 and facts["known"] == 0
    assert ingested(str(fresh.path), file, items=None, overrides=[], quiet=True)[1] | {"notes": []} == {
        "added": 0, "changed": 0, "known": 2, "notes": []
    }  # fmt: skip
    file.write_text(file.read_text().replace("new,4,1", "new,4,0"))
    assert ingested(str(fresh.path), file, items=None, overrides=[], quiet=True)[1]["changed"] == 1
    recommender = open_recommender(fresh)
    found = recommender.run.histories.log.of("new")
    assert [(event.item_id, event.liked) for event in found] == [("4", False), ("5", False)]
    explained = explained_one(str(fresh.path), "new", "2", history=None, as_of=None, overrides=[])
    assert explained.recommendation.prompt == recommender.recommend("new", "2").prompt, "`explain` knows what `recommend` knows"


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


def told_question(flow):
    return find_question(flow.interactions, "1", "2")


def test_rows_without_a_verdict_are_said_to_be_likes(fresh, tmp_path, monkeypatch, capsys):
    file = tmp_path / "seen.csv"
    file.write_text("user_id,item_id,timestamp\nnew,4,1700000000\nnew,5,1700000001\n")
    said = "no rating or label column: 2 rows taken as likes"
    assert said in ingested(str(fresh.path), file, items=None, overrides=[], quiet=True)[1]["notes"]
    for words in ([], ["--json"]):
        monkeypatch.setattr("sys.argv", ["score-rag", "ingest", str(fresh.path), str(file), *words])
        with pytest.raises(SystemExit):
            main()
        assert said in capsys.readouterr().out
    file.write_text("user_id,item_id,timestamp,label\nnew,4,1700000000,1\n")
    assert not any("likes" in line for line in ingested(str(fresh.path), file, items=None, overrides=[], quiet=True)[1]["notes"])
    with pytest.raises(InputError, match="no such file"):
        ingested(str(fresh.path), tmp_path / "nothere.csv", items=None, overrides=[], quiet=True)


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


def test_a_note_says_what_follows_newer_files_until_the_index_does(fresh):
    assert staleness(fresh) == ""
    file = Path(fresh.data.path) / "interactions.csv"
    file.write_text(file.read_text() + "98,1,1,1000300000,test\n")
    assert "index build" in staleness(fresh) and "to train on it" in staleness(fresh)
    serving_index.build(fresh)
    assert staleness(fresh) == "", "answers know the new rows by the index"
    file.write_text(file.read_text() + "98,2,1,1000300001,test\n")
    assert "index update" in staleness(fresh)
