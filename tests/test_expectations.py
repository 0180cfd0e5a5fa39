"""What earlier recommenders expect of training events: found by event, and asked of a draw where there are very many."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from score_rag.context.evidence import Evidence
from score_rag.context.examples import sample_events
from score_rag.context.question import Question
from score_rag.crm.expectations import EXPECTATION_COLUMNS, Expected, drawn_events, expectations_frame, prequential_scores
from score_rag.crm.experts import drawn_until, fit_experts, read_expectations
from score_rag.crm.item_item import ItemKNN
from score_rag.data.negatives import add_negatives
from score_rag.errors import DataError
from score_rag.pipeline.fit_crm import fit_crm
from score_rag.pipeline.fit_predictor import askable
from score_rag.pipeline.run import Run
from score_rag.pipeline.stage import StageContext
from score_rag.pipeline.state import finished_folder
from score_rag.prompts import find_prompt
from score_rag.testing import toy_world

KEYS = st.tuples(st.sampled_from(["u1", "u2", "ü3"]), st.sampled_from(["a", "b"]), st.integers(-2, 4))


@given(st.lists(KEYS, unique=True, max_size=30), st.lists(st.one_of(st.none(), KEYS, st.just(("nobody", "a", 1))), max_size=20))
def test_events_are_found_as_in_a_dictionary(keys, asked):
    rows = [(*key, float(row) if row % 3 else None) for row, key in enumerate(keys)]
    schema = {"user_id": pl.String(), "item_id": pl.String(), "timestamp": pl.Int64(), "ease": pl.Float64()}
    expected = Expected(pl.DataFrame(rows, schema=schema, orient="row"), ["ease"])
    known = {key: row for row, key in enumerate(keys)}
    assert expected.rows(asked).tolist() == [known.get(key, -1) for key in asked]
    np.testing.assert_array_equal(expected.scores("ease"), [row if row % 3 else np.nan for row in range(len(keys))])


@pytest.fixture(scope="module")
def world():
    return toy_world(users=30, items=20, events=16, seed=2)


def fit(world, *_):
    return ItemKNN(nearest=5).fit(world)


def test_those_that_are_drawn_are_expected_as_among_all(world):
    every = prequential_scores(world, fit)
    told = []
    drawn = drawn_events(world, 60, seed=4)
    some = prequential_scores(world, fit, drawn=drawn, report=lambda what, done, total: told.append((done, total)))
    assert len(drawn) == 60 and (np.diff(drawn) > 0).all() and not np.isnan(every[drawn]).any()
    np.testing.assert_array_equal(some[drawn], every[drawn])
    assert np.isnan(np.delete(some, drawn)).all()
    assert told[-1] == (60, 60) and sorted(told) == told
    assert drawn_events(world, 10**6, seed=4) is None and drawn_events(world, None, seed=4) is None
    whole, part = expectations_frame(world, {"item-knn": every}), expectations_frame(world, {"item-knn": some}, drawn=drawn)
    assert part.height == 60 and part.join(whole, on=[*EXPECTATION_COLUMNS, "item-knn"], how="semi").height == 60


def test_of_a_training_event_that_was_not_drawn_nothing_is_expected(world, tmp_path):
    def fitted(name, data, final):
        return ItemKNN(nearest=5).fit(data)

    (tmp_path / "all").mkdir(), (tmp_path / "some").mkdir()
    told = {place: fit_experts(["item-knn"], fitted, world, tmp_path / place, most=most) for place, most in (("all", None), ("some", 50))}
    assert set(told["all"]) == set(told["some"]) == {"item-knn"}
    last = world.learned["timestamp"].max()
    assert drawn_until(tmp_path / "all") is None and drawn_until(tmp_path / "some") == last
    frame = read_expectations(tmp_path / "some")
    model = ItemKNN(nearest=5).fit(world).bind(world.log)
    evidence = Evidence(world, {"ease": model}, frame.rename({"item-knn": "ease"}), drawn_until=last)
    known = {tuple(key): value for *key, value in frame.iter_rows()}
    events = [event for event in world.rows("train") if world.log.earlier(event)]
    questions = [Question(event.user_id, event.item_id, world.log.earlier(event), event.timestamp) for event in events]
    found = evidence.values(questions, ["expectation"])["expectation.ease"]
    asked = [known.get((event.user_id, event.item_id, event.timestamp), np.nan) for event in events]
    np.testing.assert_array_equal(found, asked)
    assert 0 < np.isnan(found).sum() < len(found)
    # Whoever asks about what was never learned gets what the recommender of all training events says.
    event = events[-1]
    other = next(item for item in world.catalogue if world.log.first(event.user_id, item) is None)
    for item, when in ((other, event.timestamp), (event.item_id, last + 1), (event.item_id, None)):
        question = Question(event.user_id, item, world.log.earlier(event), when)
        assert not np.isnan(evidence.values([question], ["expectation"])["expectation.ease"]).any()


def test_events_are_drawn_among_those_that_may_be(world):
    frame = (
        world.learned.filter(pl.col("split") == "train").select(*EXPECTATION_COLUMNS).cast({"user_id": pl.String(), "item_id": pl.String()})
    )
    among = frame.sample(80, seed=1).vstack(
        pl.DataFrame({"user_id": ["nobody"], "item_id": ["none"], "timestamp": [1]}, schema=frame.schema)
    )
    keys = set(among.iter_rows())
    every = [event for event in sample_events(world, "train", None, seed=0) if (event.user_id, event.item_id, event.timestamp) in keys]
    assert sample_events(world, "train", None, seed=0, among=among) == every
    some = sample_events(world, "train", 20, seed=0, among=among)
    assert len(some) == 20 and set(some) < set(every)


def test_the_training_of_each_expert_says_how_far_it_is_and_few_are_asked(toy_run, tmp_path):
    told = []
    small = toy_run.crm.changed(model="item-knn", experts=("mf",), epochs=2, expectations=40, loss="bce")
    pipeline = toy_run.model_copy(update={"crm": small})
    place = partial(finished_folder, toy_run)
    context = StageContext(pipeline, place, find_prompt, tmp_path / "scratch", report=lambda *said: told.append(said))
    (tmp_path / "crm").mkdir()
    metrics = fit_crm(context, tmp_path / "crm")
    assert (
        metrics["events_drawn"] == 40
        and set(metrics["expectations"]) <= {"mf", "item-knn"}
        and read_expectations(tmp_path / "crm").height == 40
    )
    words = [what for what, _, _ in told]
    trained = [number for number, what in enumerate(words) if what.endswith(": mf") and not what.startswith("asking")]
    assert trained and trained[0] < words.index("asking earlier recommenders: mf")
    assert ("asking earlier recommenders: mf", 40, 40) in told and any(what == "comparing items: item-knn" for what in words)


def test_a_sampled_negative_that_was_not_drawn_is_as_unknown_as_a_like(world):
    likes = world.events.with_columns(label=pl.lit(1, dtype=pl.Int8))
    sampled = world.with_events(add_negatives(likes, world.items["item_id"], count=1, seed=1))
    drawn = drawn_events(sampled, 50, seed=0)
    frame = expectations_frame(sampled, {"ease": prequential_scores(sampled, fit, drawn=drawn)}, drawn=drawn)
    last = sampled.learned["timestamp"].max()
    evidence = Evidence(sampled, {"ease": fit(sampled).bind(sampled.log)}, frame, drawn_until=last)
    events = list(sampled.rows("train"))
    questions = [Question(event.user_id, event.item_id, sampled.log.earlier(event), event.timestamp) for event in events]
    there = ~np.isnan(evidence.values(questions, ["expectation"])["expectation.ease"])
    asked = set(frame.select(EXPECTATION_COLUMNS).iter_rows())
    assert there.tolist() == [(event.user_id, event.item_id, event.timestamp) in asked for event in events]
    assert {event.sampled for event in events} == {True, False}


def test_too_few_that_were_asked_about_are_an_error_not_the_ones_that_were_seen(toy_run, tmp_path, monkeypatch):
    run = Run.open(toy_run, predict_prompt=find_prompt("predict_evidence"), stages=("retriever",))
    every = askable(run)
    assert len(every) > 100
    frame = read_expectations(run.folder("crm")).drop_nulls()
    few = Path(shutil.copytree(run.folder("crm"), tmp_path / "crm")) / "expectations.parquet"
    frame.head(5).write_parquet(few, metadata={"score_rag.drawn_until": "9"})
    monkeypatch.setattr(run, "folder", lambda stage: tmp_path / "crm" if stage == "crm" else finished_folder(toy_run, stage))
    with pytest.raises(DataError, match="too few training events") as raised:
        askable(run)
    assert "crm.expectations" in str(raised.value)
    # All were asked about, and those few are all that there is: as ever.
    frame.head(5).write_parquet(few)
    assert len(askable(run)) >= len(every)
