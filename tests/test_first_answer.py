"""A run whose later stages are missing answers by its conventional recommender alone, and every answer says who gave it."""

from __future__ import annotations

import json
import sys
from html import escape
from pathlib import Path

import numpy as np
import pytest
from run_copies import copy_run

from score_rag import RecommendWorkflow, open_recommender
from score_rag.cli import main
from score_rag.cli.run import first_answer
from score_rag.errors import InputError, StageError
from score_rag.metrics.auc import auc
from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.guard import Guard
from score_rag.pipeline.routes import ROUTES
from score_rag.pipeline.state import StageStatus
from score_rag.recommend.conventional import open_as_far_as_run, open_conventional


@pytest.fixture
def begun(toy_run, toy_pipeline, tmp_path):
    """A function that gives the toy pipeline with some of its stages finished."""

    def make(*stages, overrides=()):
        for stage in stages:
            copy_run(Path(toy_run.runs) / "toy" / stage, tmp_path / "toy" / stage)
        return load_pipeline(str(toy_pipeline), overrides=[f"runs={tmp_path}", *overrides])

    return make


def typed(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["score-rag", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0), *capsys.readouterr()


@pytest.mark.parametrize(("stages", "who"), [(("data",), "item-kNN"), (("data", "crm"), "SASRec")])
def test_what_stands_answers_and_knows_the_tastes(begun, toy, stages, who):
    found = open_as_far_as_run(begun(*stages))
    assert who in repr(found)
    alike = []
    for user in ("0", "1", "2", "3"):
        ranked = found.top(user, 3)
        chances = [one.probability for one in ranked]
        assert chances == sorted(chances, reverse=True) and all(0 < chance < 1 for chance in chances)
        judged = {event.item_id for event in toy.log.of(user)}
        assert not judged & {one.item.item_id for one in ranked}
        places = [int(one.item.item_id) % 2 == int(user) % 2 for one in found.top(user, 24)]
        alike.append(auc(np.array(places, dtype=int), -np.arange(len(places), dtype=float)))
        for one in ranked:
            again = found.recommend(user, one.item.item_id)
            assert again.probability == pytest.approx(one.probability, abs=1e-6), "a pair and a ranking say the same"
            assert one.route == again.route == "recommender-alone" and who in one.parts["crm"]
            assert one.mass is None and one.neighbours == [] and one.prompt == "" and any("alone answers" in note for note in one.warnings)
            assert one.verdict == ("Yes" if one.probability >= 0.5 else "No")
    assert np.mean(alike) > 0.9, "even users like even films"


def test_the_whole_answers_where_it_is_there_and_every_way_of_asking_says_who_did(toy_run, monkeypatch, capsys, toy_pipeline):
    import asyncio

    whole = open_as_far_as_run(toy_run)
    assert type(whole).__name__ == "Recommender" and whole.recommend("0", "1").route == "predictor"
    workflow = RecommendWorkflow.from_run(toy_run)
    assert asyncio.run(workflow.ask("0", "1")).recommendation.route == "predictor"
    for route, ndcg in (("predictor", (0.2, 0.1)), ("recommender", (0.1, 0.2))):
        mine = open_recommender(toy_run)
        mine.run.__dict__["guard"] = Guard(ndcg=ndcg)
        (ranked,) = mine.top("0", 1)
        assert ranked.route == ranked.to_dict()["route"] == route and escape(ROUTES[route]) in ranked._repr_html_()
    words = ["recommend", "--user", "0", "--pipeline", toy_pipeline]
    assert f"route      {ROUTES['predictor']}" in typed(monkeypatch, capsys, *words, "--item", "1")[1]
    assert json.loads(typed(monkeypatch, capsys, *words, "--item", "1", "--json")[1])["route"] == "predictor"
    answered = json.loads(typed(monkeypatch, capsys, *words, "--top", "2", "--json")[1])[0]["route"]
    assert f"route      {ROUTES[answered]}" in typed(monkeypatch, capsys, *words, "--top", "2")[1]


def test_the_command_line_answers_early_and_names_the_command_for_the_rest(begun, monkeypatch, capsys, toy_pipeline, tmp_path):
    begun("data")
    where = ["--pipeline", toy_pipeline, "--set", f"runs={tmp_path}"]
    for words in (["--user", "0", "--top", "3"], ["--user", "0", "--item", "1"], ["--history", "0; -1; 2", "--top", "2"]):
        code, out, err = typed(monkeypatch, capsys, "recommend", *words, *where)
        assert code == 0 and ROUTES["recommender-alone"] in out and "item-kNN" in out and "other users" not in out
        assert err.startswith("note: a first answer") and f"score-rag run {toy_pipeline} --set runs={tmp_path}" in err
        code, out, err = typed(monkeypatch, capsys, "recommend", *words, *where, "--json")
        told = json.loads(out)
        for one in told if isinstance(told, list) else [told]:
            assert one["route"] == "recommender-alone" and "a first answer" in one["warnings"][0] and "crm" in one["warnings"][0]
        assert err == ""
    _, out, _ = typed(monkeypatch, capsys, "recommend", "--user", "0", "--item", "1", "--show-prompt", *where)
    assert "no prompt to show" in out
    code, _, err = typed(monkeypatch, capsys, "recommend", "--user", "nobody", "--top", "3", *where)
    assert code == 2 and "no user 'nobody'" in err


def test_without_data_there_is_no_answer(begun):
    with pytest.raises(StageError, match="'data' of 'toy' is not finished"):
        open_as_far_as_run(begun())


def test_a_recommender_of_other_settings_does_not_answer(begun):
    assert "item-kNN" in repr(open_conventional(begun("data", "crm", overrides=["crm.dim=8"])))


def test_a_first_answer_knows_nothing_later_than_its_time(begun, toy):
    found = open_conventional(begun("data"))
    rows = toy.log.of("0")
    when = rows[6].timestamp
    early = found.top("0", 24, as_of=when)
    assert {one.item.item_id for one in early} == set(toy.catalogue) - {event.item_id for event in rows[:6]}
    assert any("18" in note or "24 items were asked for, 18 came" in note for note in early[0].warnings)
    assert any("after this time among them" in note for note in early[0].warnings)
    typed_alike = found.top(None, 24, history=list(rows[:6]))
    assert [one.item.item_id for one in typed_alike] == [one.item.item_id for one in early], "only the earlier events are read"
    with pytest.raises(InputError, match="a ranking needs a history"):
        found.top("0", 3, as_of=rows[0].timestamp)
    assert any("rests on the item alone" in note for note in found.recommend("0", "1", as_of=rows[0].timestamp).warnings)


def test_probabilities_mean_what_they_say(begun, toy):
    """Calibrated on validation events; checked on test events, which nothing has seen."""
    import polars as pl

    found = open_conventional(begun("data", "crm"))
    test = toy.events.filter(pl.col("split") == "test")
    asked = list(test.select(pl.col("user_id", "item_id").cast(pl.String()), "timestamp", "label").iter_rows())
    said = np.array([found.recommend(user, item, as_of=when).probability for user, item, when, _ in asked])
    true = np.array([label for *_, label in asked])
    base = np.full(len(true), true.mean())
    assert np.mean((said - true) ** 2) < 0.6 * np.mean((base - true) ** 2)


def test_a_run_says_when_the_first_answer_is_there(begun, toy_run):
    pipeline = begun("data")
    told = first_answer(pipeline, StageStatus("data", "finished", action="ran"))
    assert "needs no training" in told and "recommend --pipeline" in told and " --top 10" in told
    user = told.split("--user ")[1].split()[0]
    assert user in open_conventional(pipeline).run.histories.log
    assert "conventional recommender that is trained" in first_answer(begun("data", "crm"), StageStatus("crm", "finished", action="ran"))
    assert first_answer(pipeline, StageStatus("documents", "finished", action="ran")) == ""
    assert first_answer(toy_run, StageStatus("data", "finished", action="skipped")) == "", "the whole is there"
