"""Metrics against arithmetic, intervals against their own draws."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from score_rag.crm.interface import UserHistory
from score_rag.data.log import Event
from score_rag.data.report import information
from score_rag.errors import InputError
from score_rag.evaluation.baselines import ITEM_AVERAGE, score_events, trivial_models
from score_rag.evaluation.calibration import Calibration
from score_rag.evaluation.orders import OrderTable
from score_rag.evaluation.scorecard import Scorecard
from score_rag.metrics.auc import auc, log_loss, uauc
from score_rag.metrics.bootstrap import Bootstrap
from score_rag.metrics.neighbours import agreement, coherence, mean, nearest_users, ratio, taste_profiles
from score_rag.pipeline.ranking import compare_orders, rank_by_predictor


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


def test_calibration_is_of_what_was_said_and_what_came_true():
    found = Calibration.of(np.repeat([0.2, 0.8], 10), np.array([1] * 4 + [0] * 6 + [1] * 8 + [0] * 2), bins=2)
    assert found.error == pytest.approx((0.2 + 0.0) / 2) and [one.liked for one in found.bins] == [0.4, 0.8]
    assert found.log_loss == pytest.approx(-(4 * np.log(0.2) + 6 * np.log(0.8) + 8 * np.log(0.8) + 2 * np.log(0.2)) / 20)
    assert Calibration.from_dict(found.to_dict()).to_dict() == found.to_dict()


def test_the_information_that_was_used_has_a_name():
    for history, background, said in (("positives", 0, "positives"), ("all", 0, "all"), ("all", 7, "all + background")):
        assert information(SimpleNamespace(background=background), history) == said


class _Popular:
    """Recommends items in the order of the catalogue."""

    def __init__(self, items):
        self.item_ids = items

    def score_places(self, asked, places):
        return [-row.astype(np.float32) for row in places]


def _ranking_run(toy):
    writer = SimpleNamespace(
        builder=SimpleNamespace(tells_neighbours=True),
        write=lambda questions, contexts: [SimpleNamespace(text=q.item_id) for q in questions],
    )
    return SimpleNamespace(
        histories=toy,
        crm=_Popular(list(toy.catalogue)),
        writer=writer,
        finder=SimpleNamespace(find=lambda questions, **_: []),
        predictor=None,
    )


def test_the_predictor_orders_what_the_recommender_proposes(toy):
    run = _ranking_run(toy)
    ids = list(toy.catalogue)
    history = [Event("0", ids[1], True, 5)]
    last_first = lambda texts: np.array([ids.index(text) for text in texts], dtype=float)  # noqa: E731
    (top,) = rank_by_predictor(run, [UserHistory(history, "0")], 3, candidates=5, score=last_first)
    assert top == [ids[place] for place in (5, 4, 3)], "best of places 0 to 5 without the one of the history"
    (same,) = rank_by_predictor(run, [UserHistory(history, "0")], 3, candidates=5, score=lambda texts: np.ones(len(texts)))
    assert same == [ids[place] for place in (0, 2, 3)], "of equal scores the recommender's order decides"


def test_an_order_by_the_truth_beats_the_recommenders_own(toy):
    from score_rag.crm.ranking import RankingTask

    run = _ranking_run(toy)
    task = RankingTask(toy, "test", most=5)
    own = compare_orders(run, "test", most=5, candidates=24, score=lambda texts: np.ones(len(texts)))
    assert own.ndcg is not None and own.ndcg[0] == own.ndcg[1] == pytest.approx(task.rank(run.crm).ndcg.mean())
    ids = list(toy.catalogue)
    liked = {ids[place] for row in task.relevant for place in row}
    found = compare_orders(run, "test", most=5, candidates=24, score=lambda texts: np.array([text in liked for text in texts], float))
    assert found.ndcg is not None and found.ndcg[0] > found.ndcg[1]
    table = OrderTable.of(found, "own", resamples=50)
    assert table.users == len(task) == 5 and table.rows[0].name == "SCORE (top 24 of the recommender)"
    assert OrderTable.from_dict(json.loads(json.dumps(table.to_dict()))).to_dict() == table.to_dict()
