"""Metrics against arithmetic, intervals against their own draws."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from score_rag.errors import InputError
from score_rag.evaluation.baselines import ITEM_AVERAGE, score_events, trivial_models
from score_rag.evaluation.scorecard import Scorecard
from score_rag.metrics.auc import auc, log_loss, uauc
from score_rag.metrics.bootstrap import Bootstrap
from score_rag.metrics.neighbours import agreement, coherence, mean, nearest_users, ratio, taste_profiles


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-3, 3)), min_size=2, max_size=30))
def test_auc_is_the_share_of_ordered_pairs(rows):
    pairs = [(a > b) + 0.5 * (a == b) for la, a in rows if la for lb, b in rows if not lb]
    value = auc([label for label, _ in rows], [score for _, score in rows])
    assert np.isnan(value) if not pairs else value == pytest.approx(sum(pairs) / len(pairs))


def test_uauc_counts_users_with_one_class_apart():
    found = uauc(["a", "a", "b", "c", "c"], [1, 0, 1, 0, 1], [0.9, 0.1, 0.5, 0.7, 0.2])
    assert found == ((1.0 + 0.0) / 2, 2, 1)


def test_log_loss_is_finite_for_certain_mistakes():
    assert log_loss([1, 0], [0.5, 0.5]) == pytest.approx(np.log(2))
    assert np.isfinite(log_loss([1], [0.0]))


def test_scores_that_cannot_be_ordered_are_refused():
    for labels, scores in (([0, 1], [0.1]), ([0, 2], [0.1, 0.2]), ([0, 1], [0.1, float("nan")])):
        with pytest.raises(InputError):
            auc(labels, scores)


def test_bootstrap_over_users_agrees_with_repeating_their_rows():
    generator = np.random.default_rng(0)
    users = generator.integers(0, 12, 200)
    labels, scores = generator.integers(0, 2, 200), generator.integers(0, 9, 200).astype(float)
    bootstrap = Bootstrap(users, labels, resamples=5, seed=1)
    _, draws = bootstrap.auc(scores)
    order = list(dict.fromkeys(users.tolist()))
    for draw, times in zip(draws, bootstrap._times, strict=True):
        rows = np.concatenate([np.repeat(np.flatnonzero(users == user), int(times[order.index(user)])) for user in order])
        assert draw == pytest.approx(auc(labels[rows], scores[rows]))


def test_a_better_scorer_gets_a_small_p_and_an_equal_one_does_not():
    generator = np.random.default_rng(0)
    users, labels = np.repeat(np.arange(60), 20), generator.integers(0, 2, 1200)
    noise = generator.normal(size=1200)
    rows = pl.DataFrame({"user_id": users.astype(str), "label": labels})
    scores = {"good": labels + noise, "none": noise, "none too": generator.normal(size=1200)}
    card = Scorecard.from_scores(rows, scores, reference="none", resamples=400)
    p = {row.name: row.auc_p for row in card.rows}
    assert p["none"] is None and p["good"] < 0.05 < p["none too"]
    assert card.to_dict()["users"] == 60


def test_json_has_no_nan_where_a_part_has_one_class():
    rows = pl.DataFrame({"user_id": ["a", "a", "b", "b"], "label": [1, 0, 1, 1]})
    scores = {"one": np.array([0.9, 0.1, 0.5, 0.4]), "two": np.array([0.1, 0.9, 0.5, 0.4])}
    card = Scorecard.from_scores(rows, scores, reference="one", resamples=20, slices={"all liked": np.array([False, False, True, True])})
    told = json.dumps(card.to_dict(), allow_nan=False)
    assert json.loads(told)["parts"][0]["rows"][1]["auc_p"] is None


def test_trivial_rows_are_smoothed_averages_of_training_events(toy):
    rows = toy.events.filter(pl.col("split") == "test").head(3)
    train = toy.events.filter(pl.col("split") == "train")
    item = rows["item_id"][0]
    labels = train.filter(pl.col("item_id") == item)["label"].to_list()
    mean = train["label"].mean()
    assert score_events(trivial_models(toy)[ITEM_AVERAGE], rows)[0] == pytest.approx((sum(labels) + 5 * mean) / (len(labels) + 5))


def test_nobody_is_found_for_themselves_and_ties_go_to_the_earlier_user():
    scores = np.array([[5.0, 1.0, 1.0, 2.0], [0.0, 9.0, 0.0, 0.0]])
    assert nearest_users(scores, np.array([0, 1]), 3).tolist() == [[3, 1, 2], [0, 2, 3]]
    assert scores[0, 0] == 5.0, "the caller's scores stay as they are"


def test_those_of_one_taste_cohere_and_agree_and_random_users_do_not(toy):
    users = toy.train_log.users
    asked = np.arange(len(users))
    taste = np.array([int(user) % 2 for user in users])
    profiles = taste_profiles(toy.train_log, users, toy.catalogue, ["genres"])
    assert profiles.shape == (36, 4) and np.allclose(profiles.mean(axis=0), 0)
    keywords = taste_profiles(toy.train_log, users, toy.catalogue, ["keywords"])
    assert keywords.shape == (36, 2) and taste_profiles(toy.train_log, users, toy.catalogue, []).shape == (36, 0)
    place = {item: number for number, item in enumerate(toy.catalogue)}
    likes = [{place[event.item_id] for event in toy.train_log.of(user) if event.liked} for user in users]
    later = [{place[e.item_id] for e in toy.log.of(user) if e.liked and toy.train_log.first(user, e.item_id) is None} for user in users]
    alike = nearest_users((taste[:, None] == taste[None, :]).astype(float), asked, 10)
    drawn = nearest_users(np.random.default_rng(0).random((36, 36)), asked, 10)
    assert mean(coherence(profiles, asked, alike)).low > 0.9 > 0.2 > abs(mean(coherence(profiles, asked, drawn)).value)
    same, chance = (ratio(*agreement(likes, later, found)) for found in (alike, drawn))
    # Half of all likes are of either taste: whoever shares it likes its items twice as often as chance expects.
    assert same.value == pytest.approx(2, rel=0.1) and chance.low < 1 < chance.high


def test_chance_knows_how_popular_items_are_and_how_much_users_like():
    likes = [{0, 1}, {0, 1, 2, 3}, {0}]
    came, expected = agreement(likes, [{0, 3}, set()], np.array([[1, 2], [0, 2]]))
    assert came.tolist() == [2 + 1, 0] and expected == pytest.approx([(3 + 1) * (4 + 1) / 7, 0])
    assert np.isnan(ratio(came[1:], expected[1:]).value) and ratio(came, expected).value == pytest.approx(3 / (20 / 7))


def test_an_interval_of_a_mean_is_of_users_and_leaves_out_those_without_a_value():
    values = np.r_[np.random.default_rng(0).normal(3, 1, 400), np.nan]
    found = mean(values)
    assert found.value == pytest.approx(np.nanmean(values)) and found.low < found.value < found.high
    assert found.high - found.low == pytest.approx(2 * 1.96 / np.sqrt(400), rel=0.15)
    assert np.isnan(mean(np.array([np.nan])).value)
