"""New items, files and indexes after training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from fresh_world import NOW, even, judged

from score_rag import open_recommender
from score_rag.cli import main
from score_rag.cli.explain import one as explained_one
from score_rag.cli.ingest import ingested
from score_rag.cli.recommend import staleness
from score_rag.data.log import Item
from score_rag.errors import InputError
from score_rag.evaluation.evaluate import open_run
from score_rag.feedback.record import Feedback
from score_rag.pipeline import serving_index
from score_rag.pipeline.fresh import open_feedback


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


def test_a_note_says_what_follows_newer_files_until_the_index_does(fresh):
    assert staleness(fresh) == ""
    file = Path(fresh.data.path) / "interactions.csv"
    file.write_text(file.read_text() + "98,1,1,1000300000,test\n")
    assert "index build" in staleness(fresh) and "to train on it" in staleness(fresh)
    serving_index.build(fresh)
    assert staleness(fresh) == "", "answers know the new rows by the index"
    file.write_text(file.read_text() + "98,2,1,1000300001,test\n")
    assert "index update" in staleness(fresh)
