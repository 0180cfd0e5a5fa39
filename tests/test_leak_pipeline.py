"""No future, through whole runs: other labels from a moment on change no artefact and no score."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from conftest import TOY_PIPELINE, write_tables
from run_copies import said

from score_rag.data.interactions import Interactions
from score_rag.evaluation.baselines import score_events, trivial_models
from score_rag.evaluation.evaluate import open_run
from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.runner import run
from score_rag.pipeline.stages import STAGES, stages

DONE = list(STAGES)


def ask(parts, events):
    _, told = parts.write(parts.finder.questions(events))
    answers = parts.predictor.score([one.text for one in told])
    return np.array([[answer.probability, answer.mass] for answer in answers])


@pytest.mark.parametrize("percent", [30, 60, 90])
def test_scores_do_not_move_when_the_future_is_turned_round(toy_run, percent):
    """Through the whole serving path: history, query text, retrieved users, reranked users, their verdicts, the prompt, the probability."""
    before, after = open_run(toy_run), open_run(toy_run)
    events = before.interactions.events
    now = int(events["timestamp"][len(events) * percent // 100])
    flipped = events.with_columns(label=pl.when(pl.col("timestamp") >= now).then(1 - pl.col("label")).otherwise(pl.col("label")))
    after.__dict__["interactions"] = Interactions(flipped, before.interactions.items)
    assert not flipped.equals(events)
    asked = [event for event in before.interactions.rows() if event.timestamp == now]
    asked += [event._replace(timestamp=now) for event in list(before.interactions.rows())[:: max(1, len(events) // 15)]]
    np.testing.assert_array_equal(ask(before, asked), ask(after, asked))


def test_the_check_can_fail(toy_run):
    """The same comparison with the past flipped must move the scores."""
    before, after = open_run(toy_run), open_run(toy_run)
    flipped = before.interactions.events.with_columns(label=1 - pl.col("label"))
    after.__dict__["interactions"] = Interactions(flipped, before.interactions.items)
    asked = list(before.interactions.rows("test"))[:10]
    assert not np.allclose(ask(before, asked), ask(after, asked))


def test_documents_of_the_index_tell_training_events_only(toy_parts):
    assert toy_parts.retriever.index.documents["known_until"].max() < toy_parts.interactions.train_end


@pytest.fixture(scope="module", params=["labels flipped", "another item each time"])
def other_run(request, toy, tmp_path_factory):
    """A whole run on the toy world whose test split is another: each label flipped, or also the items, but for a user's first."""
    test = pl.col("split") == "test"
    frame = toy.events.with_columns(label=pl.when(test).then(1 - pl.col("label")).otherwise(pl.col("label")))
    if request.param != "labels flipped":
        first = pl.int_range(pl.len()).over("user_id", "split") == 0
        item = (pl.col("item_id").cast(pl.String()).cast(pl.Int64) + 5) % len(toy.items)
        frame = frame.with_columns(
            item_id=pl.when(test & ~first).then(item.cast(pl.String())).otherwise(pl.col("item_id").cast(pl.String()))
        )
        frame = frame.with_columns(pl.col("item_id").cast(pl.Categorical()))
    home = tmp_path_factory.mktemp("other")
    data = write_tables(toy.with_events(frame), home / "data")
    (home / "toy.yaml").write_text(TOY_PIPELINE.format(runs=home / "runs", data=data), encoding="utf-8")
    pipeline = load_pipeline(str(home / "toy.yaml"))
    run(pipeline, stages(pipeline))
    return pipeline


@pytest.mark.slow
def test_another_test_split_changes_no_artefact_and_no_earlier_score(toy_run, other_run):
    ours, theirs = open_run(toy_run), open_run(other_run)
    assert not ours.interactions.events.equals(theirs.interactions.events)
    for stage in DONE[1:]:
        one, other = said(ours.folder(stage)), said(theirs.folder(stage))
        assert one and sorted(one) == sorted(other)
        assert [name for name in one if one[name] != other[name]] == []
    rows = [*ours.interactions.rows("valid"), *{event.user_id: event for event in reversed(list(ours.interactions.rows("test")))}.values()]
    twins = [
        *theirs.interactions.rows("valid"),
        *{event.user_id: event for event in reversed(list(theirs.interactions.rows("test")))}.values(),
    ]
    assert [event[:2] for event in rows] == [event[:2] for event in twins] and [e.liked for e in rows] != [e.liked for e in twins]
    np.testing.assert_array_equal(ask(ours, rows), ask(theirs, twins))
    tables = [
        parts.interactions.events.filter(pl.col("event").is_in([e.row for e in asked])) for parts, asked in ((ours, rows), (theirs, twins))
    ]
    plain = [trivial_models(parts.interactions) for parts in (ours, theirs)]
    for name in plain[0]:
        mine, other = (score_events(models[name], table) for models, table in zip(plain, tables, strict=True))
        np.testing.assert_array_equal(mine, other)
