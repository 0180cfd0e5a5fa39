"""Measures against scikit-learn and trec_eval, draws against repeating users' rows, with ties and one class among them."""

from __future__ import annotations

import warnings

import ir_measures
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import R, ScoredDoc, nDCG
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.metrics import log_loss as sklearn_log_loss

from score_rag.errors import InputError
from score_rag.metrics import bootstrap as bootstrap_module
from score_rag.metrics.auc import auc, log_loss, per_user_auc, uauc
from score_rag.metrics.bootstrap import Bootstrap
from score_rag.metrics.measures import measure, order_only
from score_rag.metrics.order import auc_of_ranks, of_users, placements, ranks_of, user_numbers
from score_rag.metrics.probability import bins_of, calibration_error, chance_error

ROWS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 1), st.integers(0, 20)), min_size=1, max_size=60)


def columns(rows, most=20):
    users, labels, scores = (np.array(column) for column in zip(*rows, strict=True))
    return users, labels, scores / most


def reference_auc(labels, scores):
    return roc_auc_score(labels, scores) if len(set(labels.tolist())) == 2 else float("nan")


@given(ROWS)
def test_auc_and_uauc_are_scikit_learns(rows):
    users, labels, scores = columns(rows)
    assert auc(labels, scores) == pytest.approx(reference_auc(labels, scores), abs=1e-12, nan_ok=True)
    own = [reference_auc(labels[users == user], scores[users == user]) for user in dict.fromkeys(users.tolist())]
    names, found = per_user_auc(users, labels, scores)
    assert names.tolist() == list(dict.fromkeys(users.tolist())) and found == pytest.approx(np.array(own), abs=1e-12, nan_ok=True)
    whole = uauc(users, labels, scores)
    there = [one for one in own if not np.isnan(one)]
    assert (whole.users, whole.left_out) == (len(there), len(own) - len(there))
    assert whole.value == pytest.approx(np.mean(there) if there else float("nan"), abs=1e-12, nan_ok=True)


@given(ROWS)
def test_log_loss_and_brier_score_are_scikit_learns(rows):
    users, labels, scores = columns(rows)
    scores = np.clip(scores, 1e-6, 1 - 1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = sklearn_log_loss(labels, scores, labels=[0, 1])
    found = measure(Bootstrap(users, labels, resamples=2), scores, probabilities=True).values
    assert log_loss(labels, scores) == found["log_loss"][0] == pytest.approx(reference, abs=1e-9)
    assert found["brier"][0] == pytest.approx(brier_score_loss(labels, scores, pos_label=1), abs=1e-12)


@given(ROWS, st.integers(1, 7))
def test_ndcg_and_recall_are_trec_evals(rows, k):
    users, labels, scores = columns(rows)
    # trec_eval lets the document's name decide between equal scores: these have none.
    scores = scores + np.random.default_rng(0).permutation(len(scores)) * 1e-6
    numbers, names = user_numbers(users)
    found = of_users(numbers, len(names), labels, ranks_of(scores), k)
    judged = [ir_measures.Qrel(str(user), str(row), int(label)) for row, (user, label) in enumerate(zip(users, labels, strict=True))]
    run = [ScoredDoc(str(user), str(row), float(score)) for row, (user, score) in enumerate(zip(users, scores, strict=True))]
    for kind, values in ((nDCG @ k, found.ndcg), (R @ k, found.recall)):
        told = {one.query_id: one.value for one in ir_measures.iter_calc([kind], judged, run)}
        for name, value in zip(names, values, strict=True):
            if labels[users == name].any():
                assert value == pytest.approx(told[str(name)], abs=1e-6)
            else:
                assert np.isnan(value), "a user without a liked row has no value"


def test_equal_scores_count_what_shuffling_them_would_on_average():
    generator = np.random.default_rng(0)
    labels, scores = np.array([1, 0, 0, 1, 0, 1, 0]), np.array([0.9, 0.5, 0.5, 0.5, 0.5, 0.1, 0.1])
    nobody = np.zeros(7, dtype=np.int64)
    found = of_users(nobody, 1, labels, ranks_of(scores), 3)
    drawn = [of_users(nobody, 1, labels, ranks_of(scores + 1e-6 * generator.permutation(7)), 3) for _ in range(4000)]
    for name in ("auc", "ndcg", "recall"):
        assert getattr(found, name)[0] == pytest.approx(np.mean([getattr(one, name)[0] for one in drawn]), abs=0.01)
    assert found.recall[0] == pytest.approx((1 + 2 * (1 / 4)) / 3)


@given(ROWS, st.integers(1, 6))
def test_bins_never_part_equal_scores_and_errors_are_sums_over_them(rows, bins):
    _, labels, scores = columns(rows)
    place = bins_of(ranks_of(scores), bins)
    assert all(len(set(place[scores == one])) == 1 for one in scores)
    assert (np.diff(place[np.argsort(scores, kind="stable")]) >= 0).all() and place.min() >= 0 and place.max() < bins
    expected = sum(abs((scores - labels)[place == one].sum()) for one in set(place)) / len(labels)
    assert calibration_error(scores, labels, bins=bins) == pytest.approx(expected)
    found, _ = Bootstrap(np.zeros(len(labels)), labels, resamples=2).mean_distance(scores - labels, place, bins)
    assert found == pytest.approx(expected)


def test_perfect_probabilities_show_the_calibration_error_of_chance():
    generator = np.random.default_rng(0)
    said = generator.random(2000)
    place = bins_of(ranks_of(said))
    seen = [calibration_error(said, generator.random(2000) < said) for _ in range(200)]
    assert chance_error(said, place) == pytest.approx(np.mean(seen), rel=0.05)


@given(ROWS)
@settings(max_examples=40)
def test_draws_are_what_repeating_the_rows_of_the_users_drawn_gives(rows):
    users, labels, scores = columns(rows)
    bootstrap = Bootstrap(users, labels, resamples=4, seed=1)
    found = measure(bootstrap, scores, probabilities=True, k=3)
    order = list(dict.fromkeys(users.tolist()))
    for draw, times in enumerate(bootstrap._times):
        # A user who is drawn twice is two users.
        chosen = [(np.flatnonzero(users == user), copy) for user, n in zip(order, times, strict=True) for copy in range(int(n))]
        places = np.concatenate([rows for rows, _ in chosen])
        again = Bootstrap(np.concatenate([np.full(len(rows), n) for n, (rows, _) in enumerate(chosen)]), labels[places], resamples=2)
        repeated = measure(again, scores[places], probabilities=True, k=3)
        for name in ("auc", "uauc", "ndcg", "recall", "log_loss", "brier"):
            assert found.values[name][1][draw] == pytest.approx(repeated.values[name][0], abs=1e-9, nan_ok=True), name


def test_placements_of_either_class_have_the_auc_as_their_mean():
    labels, ranks = np.array([1, 0, 1, 0, 0]), ranks_of(np.array([0.3, 0.3, 0.9, 0.1, 0.4]))
    placed = placements(labels, ranks)
    assert placed[labels == 1].mean() == pytest.approx(auc_of_ranks(labels, ranks)) == pytest.approx(placed[labels == 0].mean())
    assert auc_of_ranks(labels, ranks) == (1.5 + 3) / 6


def _crowd(users, seed=0):
    """Rows of users who differ in how much they like and how well they are known."""
    generator = np.random.default_rng(seed)
    user = np.repeat(np.arange(users), generator.integers(2, 12, users))
    mood, skill = generator.normal(size=users)[user], generator.random(users)[user]
    labels = (generator.normal(size=len(user)) + mood > 0).astype(int)
    return user, labels, labels * skill + generator.normal(size=len(user)) + 0.5 * mood


def test_many_users_get_the_intervals_that_counting_all_pairs_gives(monkeypatch):
    users, labels, scores = _crowd(1500)
    exact = measure(Bootstrap(users, labels, resamples=2000), scores)
    monkeypatch.setattr(bootstrap_module, "_EXACT", 0)
    monkeypatch.setattr(bootstrap_module, "GROUPS", 600)
    grouped = measure(Bootstrap(users, labels, resamples=2000), scores)
    for name in ("auc", "uauc", "ndcg"):
        one, other = (Bootstrap.interval(*found.values[name]) for found in (exact, grouped))
        assert one.value == other.value
        assert other.high - other.low == pytest.approx(one.high - one.low, rel=0.12), name
        assert (other.high + other.low) / 2 == pytest.approx((one.high + one.low) / 2, abs=0.1 * (one.high - one.low))


def test_intervals_hold_the_truth_as_often_as_they_say():
    truth = auc(*_crowd(60_000, seed=99)[1:])
    held = 0
    for seed in range(200):
        users, labels, scores = _crowd(120, seed=seed)
        found = Bootstrap.interval(*Bootstrap(users, labels, resamples=400, seed=seed).auc(scores))
        held += found.low <= truth <= found.high
    assert 0.90 <= held / 200 <= 0.985, "95 % of them, within three errors of 200 trials and the bootstrap's own optimism"


def test_a_part_of_the_rows_needs_no_new_sorting():
    users, labels, scores = _crowd(40)
    inside = np.arange(len(users)) % 3 > 0
    whole = measure(Bootstrap(users, labels, resamples=20), scores)
    part = Bootstrap(users[inside], labels[inside], resamples=20)
    known, sorted_again = order_only(part, whole.ranks[inside]).values, measure(part, scores[inside]).values
    for name in ("auc", "uauc"):
        assert known[name][0] == pytest.approx(sorted_again[name][0]) and known[name][1] == pytest.approx(sorted_again[name][1])


def test_what_cannot_be_measured_is_refused():
    users, labels = ["a", "a", "b"], np.array([0, 1, 1])
    bootstrap = Bootstrap(users, labels, resamples=2)
    for scores in ([0.1, float("nan"), 0.2], [0.1, float("inf"), 0.2], [0.1, 0.2]):
        with pytest.raises(InputError):
            measure(bootstrap, np.array(scores))
    with pytest.raises(InputError, match="not probabilities"):
        measure(bootstrap, np.array([0.1, 1.2, 0.3]), probabilities=True)
    assert not measure(bootstrap, np.array([0.1, 1.2, 0.3])).values.keys() & {"log_loss", "brier", "ece"}
    for labels in ([0, 2, 1], [0.5, 1, 0], [float("nan"), 1, 0]):
        with pytest.raises(InputError, match="0 or 1"):
            Bootstrap(users, np.array(labels))
    with pytest.raises(InputError, match="no user"):
        Bootstrap(pl.Series(["a", None, "b"]), np.array([0, 1, 1]))
