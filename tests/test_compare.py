"""Tables of predictions, and tests of differences between them: exact where they can be, and wrong as often as they say."""

from __future__ import annotations

import io
import itertools
import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from scipy.stats import binomtest

from score_rag.errors import DataError, InputError
from score_rag.evaluation.compare import compare
from score_rag.evaluation.compare_sources import Joined, join, open_sources
from score_rag.metrics.auc import auc, log_loss, uauc
from score_rag.metrics.bootstrap import Bootstrap
from score_rag.metrics.order import of_users, ranks_of
from score_rag.metrics.paired import auc_parts, holm, mean_parts, sign_test, uauc_parts
from score_rag.metrics.probability import log_losses

ROWS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 1), st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=25)


def _middles(scores):
    return np.array([(scores < one).sum() + (scores <= one).sum() for one in scores])


@given(ROWS)
@settings(max_examples=60)
def test_signs_of_users_are_what_swapping_their_scores_gives(rows):
    users, labels, first, second = (np.array(column) for column in zip(*rows, strict=True))
    if len(set(labels.tolist())) < 2:
        return
    users = np.unique(users, return_inverse=True)[1]
    count = users.max() + 1
    # Both on the scale of their own places.
    first, second = _middles(first), _middles(second)
    whole = auc_parts(labels, ranks_of(first), ranks_of(second), users, count)
    own = uauc_parts(*(of_users(users, count, labels, ranks_of(scores)) for scores in (first, second)))
    said = [(scores + 1) / (2 * len(rows) + 2) for scores in (first, second)]
    losses = mean_parts(*(log_losses(labels, one) for one in said), users, count)
    for signs in itertools.product((1, -1), repeat=min(count, 4)):
        signs = np.array([*signs, *[1] * (count - len(signs))])
        kept = signs[users] > 0
        one, other = np.where(kept, first, second), np.where(kept, second, first)
        assert signs @ whole == pytest.approx(auc(labels, one) - auc(labels, other), abs=1e-9)
        found = [uauc(users, labels, scores).value for scores in (one, other)]
        assert np.isnan(found[0]) or signs @ own == pytest.approx(found[0] - found[1], abs=1e-9)
        p, q = np.where(kept, *said), np.where(kept, *said[::-1])
        assert signs @ losses == pytest.approx(log_loss(labels, p) - log_loss(labels, q), abs=1e-9)


def test_the_sign_test_is_the_binomial_test_where_all_parts_are_equal():
    parts = np.array([1.0] * 15 + [-1.0] * 5)[:, None]
    assert sign_test(parts, permutations=40_000)[0] == pytest.approx(binomtest(5, 20).pvalue, abs=0.004)


def test_holm_is_holm():
    p = np.array([0.01, 0.02, 0.03, 0.005, 0.9])
    # From the smallest: times 5, 4, 3, 2, 1, and never less than the one before.
    assert holm(p) == pytest.approx([0.01 * 4, 0.02 * 3, 0.06, 0.005 * 5, 0.9])


def _drawn(generator, users=80):
    """Two scorers that are equally good, alike, and better for some users than for others."""
    user = np.repeat(np.arange(users), generator.integers(3, 14, users))
    labels = (generator.random(len(user)) < generator.beta(4, 3, users)[user]).astype(np.int8)
    shared, skill = generator.normal(size=len(user)), generator.normal(1, 0.7, users)[user]
    logits = [
        (labels - 0.5) * skill + 0.8 * shared + 0.6 * generator.normal(size=len(user)) + generator.normal(0, 0.3, users)[user] for _ in "ab"
    ]
    return user, labels, dict(zip("ab", (1 / (1 + np.exp(-one)) for one in logits), strict=True))


def test_of_equal_scorers_one_in_twenty_is_called_different():
    trials, said = 400, {"permutation_p": [], "bootstrap_p": []}
    generator = np.random.default_rng(7)
    for seed in range(trials):
        user, labels, scores = _drawn(generator)
        found = compare(Joined(pl.Series(user), labels, scores, frozenset(scores), ()), resamples=300, permutations=400, seed=seed)
        for name, values in said.items():
            values.append([getattr(test, name) <= 0.05 for test in found.tests])
    for name, values in said.items():
        share = np.mean(values, axis=0)
        # Three standard errors of 400 trials; the bootstrap may be a little too free with 80 users.
        assert (share >= 0.05 - 0.033).all() and (share <= 0.05 + (0.033 if name == "permutation_p" else 0.045)).all(), (name, share)


def test_what_is_undefined_does_not_count_among_the_tests():
    user, labels, scores = _drawn(np.random.default_rng(3))
    liked = labels == 1
    scores = {name: values[liked] for name, values in scores.items()}
    scores["b"] = scores["b"] ** 0.5
    found = compare(Joined(pl.Series(user[liked]), labels[liked], scores, frozenset(scores), ()), resamples=50, permutations=500)
    by = {test.measure: test for test in found.tests}
    assert all(np.isnan([by[name].permutation_p, by[name].holm_p]).all() for name in ("auc", "uauc")), "nobody disliked anything"
    assert by["log_loss"].holm_p == by["log_loss"].permutation_p < 0.05


def test_a_true_difference_is_found_and_marked_and_many_tests_are_corrected():
    generator = np.random.default_rng(0)
    user, labels, scores = _drawn(generator, users=150)
    scores["better"] = 1 / (1 + np.exp(-(np.log(scores["a"] / (1 - scores["a"])) + 1.5 * (labels - 0.5))))
    scores["logit"] = np.log(scores["b"] / (1 - scores["b"]))
    found = compare(Joined(pl.Series(user), labels, scores, frozenset(["a", "b", "better"]), ()), permutations=2000)
    by = {(test.first, test.second, test.measure): test for test in found.tests}
    assert len(by) == len(found.tests) == 6 * 2 + 3, "log-loss of probabilities alone"
    for measure in ("auc", "uauc", "log_loss"):
        test = by["a", "better", measure]
        assert found.significant(test) and test.better == "better" and test.bootstrap_p < 0.05
        assert (test.difference.value > 0) == (measure == "log_loss")
        assert test.difference.low <= test.difference.value <= test.difference.high
    same = by["b", "logit", "auc"]
    assert same.difference.value == 0 and same.permutation_p == same.holm_p == 1 and not found.significant(same)
    assert by["a", "better", "auc"].difference.value == pytest.approx(auc(labels, scores["a"]) - auc(labels, scores["better"]))
    assert [test.holm_p for test in found.tests] == pytest.approx(holm([test.permutation_p for test in found.tests]))
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told["users"] == 150 and sum(test["significant"] for test in told["tests"]) == sum(map(found.significant, found.tests))
    screen = Console(width=80, file=io.StringIO())
    for table in found.tables():
        screen.print(table)
    seen = screen.file.getvalue()
    assert all(word in seen for word in ("log-loss", "p Holm", "finding", "* worse", "swaps of users")) and "…" not in seen, "80 columns"
    page = found.to_markdown()
    assert "| a − better | AUC |" in page and "* worse" in page and page.count("\n| ") == (1 + 1 + 4) + (1 + 1 + 15) - 0
    assert (
        compare(Joined(pl.Series(user), labels, scores, frozenset(), ()), permutations=300).to_dict()
        == compare(Joined(pl.Series(user), labels, scores, frozenset(), ()), permutations=300).to_dict()
    ), "seeded"


def _table(path, users, items, labels, **columns):
    pl.DataFrame({"user_id": users, "item_id": items, "label": labels, **columns}).write_csv(path)
    return str(path)


def test_tables_are_joined_by_their_events_whatever_their_order(tmp_path):
    one = _table(tmp_path / "one.csv", ["1", "1", "2", "2"], ["x", "y", "x", "z"], [1, 0, 1, 0], mine=[0.9, 0.1, 0.8, 0.2])
    two = _table(tmp_path / "two.csv", ["2", "9", "1", "1"], ["x", "x", "y", "x"], [1, 1, 0, 1], theirs=[3.0, 0.0, 1.0, 2.0])
    found = join(open_sources([one, two]))
    assert found.users.to_list() == ["1", "1", "2"] and found.labels.tolist() == [1, 0, 1]
    assert found.scores["one"].tolist() == [0.9, 0.1, 0.8] and found.scores["two"].tolist() == [2.0, 1.0, 3.0]
    assert found.probabilities == {"one"} and sum("1 of 4 events are not in all others" in note for note in found.notes) == 2
    whole = join(open_sources([_table(tmp_path / "both.csv", [7, 7], ["x", "y"], [1, 0], a=[0.5, 0.4], b=[0.1, 0.2])]))
    assert list(whole.scores) == ["a", "b"]


def test_rows_that_do_not_belong_together_are_refused(tmp_path):
    one = _table(tmp_path / "one.csv", ["1", "1"], ["x", "y"], [1, 0], s=[0.9, 0.1])
    other = _table(tmp_path / "other.csv", ["1", "1"], ["x", "y"], [1, 1], s=[0.9, 0.1])
    apart = _table(tmp_path / "apart.csv", ["1", "1"], ["p", "q"], [1, 0], s=[0.9, 0.1])
    twice = _table(tmp_path / "twice.csv", ["1", "1"], ["x", "x"], [1, 0], s=[0.9, 0.1])
    pl.DataFrame({"user_id": ["1"], "label": [1], "s": [0.5]}).write_csv(tmp_path / "bare.csv")
    for names, said in (
        ([one, other], "1 of 2 events, the first of user 1, item y"),
        ([one, apart], "no event in common"),
        ([one, twice], "occurs twice"),
        ([one, str(tmp_path / "bare.csv")], "item_id"),
    ):
        with pytest.raises(DataError) as caught:
            join(open_sources(names))
        assert said in str(caught.value)
    with pytest.raises(InputError, match="one scorer alone"):
        join(open_sources([one]))


def test_the_bootstrap_and_the_permutation_test_agree_on_what_is_clear():
    generator = np.random.default_rng(3)
    user, labels, scores = _drawn(generator, users=200)
    bootstrap = Bootstrap(user, labels, resamples=2000)
    drawn = [bootstrap.auc(one)[1] for one in scores.values()]
    parts = auc_parts(labels, *(ranks_of(one) for one in scores.values()), bootstrap.numbers, bootstrap.users)
    assert np.sqrt((parts**2).sum()) == pytest.approx((drawn[0] - drawn[1]).std(), rel=0.15)
