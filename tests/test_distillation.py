"""What the bundled Llama aims at: the answers, and what recommenders expected of them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from score_rag.data.log import Event
from score_rag.pipeline.distillation import distilled_targets


def world(count=400, seed=0):
    """Events whose answers are drawn from what two recommenders on different scales half know."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=count)
    liked = draw.random(count) < 1 / (1 + np.exp(-logits))
    events = [Event(f"u{n % 7}", f"i{n}", bool(liked[n]), n) for n in range(count)]
    frame = pl.DataFrame(
        {
            "user_id": [event.user_id for event in events],
            "item_id": [event.item_id for event in events],
            "timestamp": [event.timestamp for event in events],
            "lightgcn": logits,
            "din": 30 * logits + 5,
            "item-knn": -logits,
        }
    )
    return events, frame, logits


@pytest.mark.parametrize("weight", [0.25, 0.5, 1.0])
def test_targets_mix_answers_with_what_a_logistic_regression_expects_whatever_each_recommender_s_scale(weight):
    events, frame, logits = world()
    found = distilled_targets(frame, ("lightgcn", "din"), events, weight)
    aims, liked = np.array([found[event] for event in events]), np.array([event.liked for event in events])
    teacher = (aims - (1 - weight) * liked) / weight
    assert np.all((teacher > 0) & (teacher < 1))
    assert np.corrcoef(np.log(teacher / (1 - teacher)), logits)[0, 1] == pytest.approx(1, abs=1e-6)
    assert teacher.mean() == pytest.approx(liked.mean(), abs=1e-3), "calibrated on the answers"
    alone = distilled_targets(frame, ("lightgcn",), events, weight)
    assert aims == pytest.approx([alone[event] for event in events], abs=1e-4), "both know the same here"


def test_a_recommender_that_knows_nothing_does_not_teach():
    events, frame, logits = world(4000)
    noise = np.random.default_rng(1).normal(size=len(events))
    found = distilled_targets(frame.with_columns(din=pl.Series(noise)), ("lightgcn", "din"), events, 1.0)
    teacher = np.array([found[event] for event in events])
    said = np.log(teacher / (1 - teacher))
    assert abs(np.corrcoef(said, noise)[0, 1]) < 0.1 and np.corrcoef(said, logits)[0, 1] > 0.99


def test_an_event_of_which_nothing_is_expected_aims_at_its_answer():
    events, frame, _ = world()
    frame = frame.with_columns(din=pl.when(pl.col("timestamp") >= 100).then(pl.col("din")))
    found = distilled_targets(frame, ("lightgcn", "din"), events, 0.5)
    assert [found[event] for event in events[:100]] == [float(event.liked) for event in events[:100]]
    assert all(0 < found[event] < 1 for event in events[100:])


def test_without_a_teacher_there_is_nothing_to_aim_at_but_answers():
    events, frame, _ = world(40)
    assert distilled_targets(frame, ("lightgcn",), events, 0.0) is None
    assert distilled_targets(frame, ("sasrec",), events, 0.5) is None
    assert distilled_targets(frame, (), events, 0.5) is None
    assert distilled_targets(frame, ("din",), [Event("x", "y", True, 1)], 0.5) is None
