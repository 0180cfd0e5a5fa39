"""SASRec in a world of two tastes, and neighbours against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from score_rag.crm.artefacts import candidates, read_neighbours, read_vectors, write_crm
from score_rag.crm.neighbours import neighbours
from score_rag.crm.sasrec import SASRec
from score_rag.data.log import Event
from score_rag.errors import InputError, ModelError


@pytest.fixture(scope="module")
def model(toy):
    return SASRec(dim=16, layers=1, heads=2).fit(toy, epochs=15, patience=8, learning_rate=1e-2, batch_size=8, seed=3)


def test_it_orders_held_out_films_by_taste(model, toy):
    right = []
    for event in toy.rows("test"):
        history = toy.log.before(event.user_id, event.timestamp)
        mine, other = (str((int(event.user_id) + step) % 2) for step in (0, 1))
        liked, disliked = model.score(history, [mine, other])
        right.append(liked > disliked)
    assert np.mean(right) > 0.9


def test_neighbours_share_the_taste_and_artefacts_come_back(model, toy, tmp_path):
    write_crm(model, toy, tmp_path, neighbours_k=3)
    found = read_neighbours(tmp_path)
    same = [int(user) % 2 == int(other) % 2 for user, other in found.select("user_id", "neighbour_id").iter_rows()]
    assert np.mean(same) > 0.9 and len(found) == 3 * len(toy.train_log)
    ids, _ = read_vectors(tmp_path, "users")
    assert ids == toy.train_log.users
    seen = {event.item_id for event in toy.train_log.of("0")}
    ranked = candidates(tmp_path, "0", 5, exclude=seen)
    assert not seen & {item for item, _ in ranked}
    assert [item for item, _ in ranked] == [item for item, _ in model.recommend(toy.train_log.of("0"), 5, exclude=seen)]


def test_a_later_event_changes_nothing_before_it(model, toy):
    import torch

    history = list(toy.train_log.of("0"))[:6]
    network = model._network.eval()
    with torch.inference_mode():
        one = network(torch.tensor([model._tokens(history)]))
        changed = model._tokens([*history[:-1], history[-1]._replace(item_id="5", liked=not history[-1].liked)])
        other = network(torch.tensor([changed]))
    assert torch.equal(one[:, :-1], other[:, :-1]) and not torch.equal(one, other)


def test_targets_read_only_strictly_earlier_events(toy):
    from score_rag.crm.sasrec import _Task

    model = SASRec(dim=16)
    model._prepare(list(toy.catalogue), 0)
    task = _Task(model, toy, negatives=0, negative_weight=0.0, seed=0)
    rows = [Event("u", str(n), True, time) for n, time in enumerate((1, 2, 2, 2, 3))]
    ((_, targets),) = task._sequences(rows)
    # (last place known, item's place): all three of second 2 know only the event of second 1.
    assert [(known, item) for known, item, _ in targets] == [(0, 2), (0, 3), (0, 4), (3, 5)]


def test_batched_scores_equal_single_ones_and_a_saved_model_is_the_same(model, toy, tmp_path):
    histories = [toy.log.before(user, None) for user in toy.log.users[:5]]
    together = model.score_many(histories, [["0", "1"]] * 5)
    alone = [model.score(history, ["0", "1"]) for history in histories]
    np.testing.assert_allclose(np.array(together), np.array(alone), atol=1e-5)
    model.save_pretrained(tmp_path)
    np.testing.assert_array_equal(SASRec.from_pretrained(tmp_path).score(histories[0], ["0", "1"]), alone[0])
    with pytest.raises(ModelError, match="no trained recommender"):
        SASRec.from_pretrained(tmp_path / "nowhere")


def test_somebody_unknown_gets_the_items_biases_and_strange_items_are_refused(model):
    np.testing.assert_allclose(model.score([], ["0", "1"]), model.item_biases()[:2], atol=1e-6)
    with pytest.raises(InputError, match="does not know these items"):
        model.score([], ["nowhere"])
    with pytest.raises(InputError, match="divide"):
        SASRec(dim=10, heads=3)


@given(st.integers(2, 12), st.integers(1, 5), st.integers(0, 1000), st.integers(1, 5))
def test_neighbours_equal_brute_force(users, k, seed, block):
    vectors = np.random.default_rng(seed).integers(-2, 3, (users, 3)).astype(np.float32)
    names = [f"u{n}" for n in range(users)]
    found = neighbours(vectors, names, k=k, block=block)
    known = [n for n in range(users) if np.abs(vectors[n]).sum()]
    for n in range(users):
        others = sorted((other for other in known if other != n), key=lambda other: (-float(vectors[n] @ vectors[other]), other))
        expected = [names[other] for other in others[:k]] if n in known else []
        assert found.filter(found["user_id"] == names[n])["neighbour_id"].to_list() == expected
