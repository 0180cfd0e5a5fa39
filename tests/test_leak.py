"""No future: turning round every label at or after a moment leaves every score of that moment bit-equal."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from score_rag.data.interactions import Interactions
from score_rag.evaluate import open_parts
from score_rag.predictor.context import prompts


@pytest.mark.parametrize("percent", [30, 60, 90])
def test_scores_do_not_move_when_the_future_is_turned_round(toy_run, percent):
    """Through the whole serving path: history, query text, retrieved users, reranked users, their verdicts, the prompt, the probability."""
    before, after = open_parts(toy_run), open_parts(toy_run)
    events = before.interactions.events
    now = int(events["timestamp"][len(events) * percent // 100])
    flipped = events.with_columns(label=pl.when(pl.col("timestamp") >= now).then(1 - pl.col("label")).otherwise(pl.col("label")))
    after.__dict__["interactions"] = Interactions(flipped, before.interactions.items)
    assert not flipped.equals(events)
    asked = [event for event in before.interactions.rows() if event.timestamp == now]
    asked += [event._replace(timestamp=now) for event in list(before.interactions.rows())[:: max(1, len(events) // 15)]]
    scores = []
    for parts in (before, after):
        questions = parts.finder.questions(asked)
        contexts = parts.finder.find(questions)
        answers = parts.predictor.score(prompts(parts.builder, questions, contexts))
        scores.append(np.array([[answer.probability, answer.mass] for answer in answers]))
    np.testing.assert_array_equal(scores[0], scores[1])


def test_the_check_can_fail(toy_run):
    """The same comparison with the past turned round must move the scores."""
    before, after = open_parts(toy_run), open_parts(toy_run)
    flipped = before.interactions.events.with_columns(label=1 - pl.col("label"))
    after.__dict__["interactions"] = Interactions(flipped, before.interactions.items)
    asked = list(before.interactions.rows("test"))[:10]
    scores = []
    for parts in (before, after):
        questions = parts.finder.questions(asked)
        scores.append([a.probability for a in parts.predictor.score(prompts(parts.builder, questions, parts.finder.find(questions)))])
    assert not np.allclose(*scores)


def test_documents_of_the_index_tell_training_events_only(toy_parts):
    assert toy_parts.retriever.index.documents["known_until"].max() < toy_parts.interactions.train_end
