"""Networks against what is known of them: masks, propagation, attention, losses worked out by hand."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from score_rag.crm.din import DIN
from score_rag.crm.graph import Graph, edge_weights, propagate
from score_rag.crm.judgements import Judgements
from score_rag.crm.lightgcn import LightGCN
from score_rag.crm.losses import pair_loss
from score_rag.crm.mf import MF, _newton
from score_rag.crm.rates import like_rates
from score_rag.crm.sasrec import SASRec, windows_of
from score_rag.data.interactions import Interactions, items_frame
from score_rag.data.log import Event, Item

torch = pytest.importorskip("torch")


def world(rows, items=6, **more):
    """Interactions from (user, item, liked, time) rows, all of them training events."""
    import polars as pl

    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "label", "timestamp"], orient="row")
    catalogue = items_frame([Item(str(n), f"Film {n}") for n in range(items)])
    return Interactions(frame.with_columns(pl.col("user_id", "item_id").cast(pl.String)), catalogue, **more)


def judged(interactions, history="all"):
    return Judgements.of(interactions, {item: n for n, item in enumerate(interactions.catalogue)}, history)


def random_graph(users=7, items=5, seed=0):
    there = np.random.default_rng(seed).random((users, items)) < 0.5
    there[0, 0] = True
    user, item = np.nonzero(there)
    return there, torch.from_numpy(np.stack([user, item + users]))


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_propagation_equals_dense_matrices(layers):
    there, edges = random_graph()
    nodes = torch.randn(12, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    adjacency = np.zeros((12, 12))
    adjacency[:7, 7:], adjacency[7:, :7] = there, there.T
    degree = adjacency.sum(1)
    scale = np.divide(1, np.sqrt(degree), out=np.zeros(12), where=degree > 0)
    smooth = scale[:, None] * adjacency * scale
    expected = sum(np.linalg.matrix_power(smooth, step) @ nodes.numpy() for step in range(layers + 1)) / (layers + 1)
    found = propagate(nodes, Graph.of(edges, edge_weights(edges, 12), 12), layers)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_propagation_equals_pytorch_geometric():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs, while importing
        conv = pytest.importorskip("torch_geometric.nn", reason="pip install torch-geometric").LGConv(normalize=True)
    _, edges = random_graph(seed=3)
    nodes = torch.randn(12, 4, generator=torch.Generator().manual_seed(2))
    steps = [nodes]
    for _ in range(3):
        steps.append(conv(steps[-1], torch.cat([edges, edges.flip(0)], dim=1)))
    found = propagate(nodes, Graph.of(edges, edge_weights(edges, 12), 12), 3)
    np.testing.assert_allclose(found.numpy(), (sum(steps) / 4).numpy(), atol=1e-6)


def test_a_lightgcn_user_is_the_sum_of_what_they_liked(toy):
    """The vector put together from a history is that of the graph; a like more moves it without new training."""
    model = LightGCN(dim=8, layers=2).fit(toy, epochs=1, seed=0, device="cpu").bind(toy.train_log)
    users = toy.train_log.users
    with torch.inference_mode():
        nodes = model._network()
        whole = propagate(nodes, model._whole_graph(), 2)[: len(users)].numpy()
    np.testing.assert_allclose(model.user_vectors(users), whole, atol=1e-6)
    model.bind(toy.log)
    assert np.abs(model.user_vectors(users) - whole).max() > 1e-4


def test_a_lightgcn_epoch_has_as_many_steps_of_however_many_rows():
    model = LightGCN()
    model._know([str(n) for n in range(60_000)])
    # Up to a million rows the batch is the model's own; above, an epoch stays at 512 steps over the whole graph.
    assert [model._rows_a_step(rows) for rows in (1, 100_000, 512 * 2048, 512 * 2048 + 1, 20_000_000)] == [2048, 2048, 2048, 2049, 39_063]
    softmax = LightGCN(loss="softmax")
    softmax._know(model.item_ids)
    assert softmax._rows_a_step(20_000_000) == 2**27 // 60_000 == 2236, "each row is held against every item"


def test_fit_takes_as_many_rows_a_step_as_the_model_says_but_for_what_it_is_told(toy, monkeypatch):
    seen = []
    monkeypatch.setattr(LightGCN, "_rows_a_step", lambda self, rows: seen.append(rows) or 7)
    sizes = []

    def task(self, judged, drawing, original=LightGCN._task):
        rows, loss = original(self, judged, drawing)
        return rows, lambda network, batch, generator: sizes.append(len(batch)) or loss(network, batch, generator)

    monkeypatch.setattr(LightGCN, "_task", task)
    LightGCN(dim=4).fit(toy, epochs=1, device="cpu")
    assert seen == [sum(sizes)] and set(sizes[:-1]) == {7}
    sizes.clear()
    LightGCN(dim=4).fit(toy, epochs=1, batch_size=5, device="cpu")
    assert set(sizes[:-1]) == {5}


def test_a_later_event_changes_no_earlier_state(toy):
    model = SASRec(dim=16, layers=2, heads=2).fit(toy, epochs=1, batch_size=8, seed=0, device="cpu")
    ids = torch.tensor([[3, -5, 7, 2, -9, 4]])
    with torch.inference_mode():
        one, other = model._network(ids), model._network(torch.tensor([[3, -5, 7, 2, -9, -8]]))
        padded = model._network(torch.nn.functional.pad(ids, (0, 5)))
    assert torch.equal(one[:, :-1], other[:, :-1]) and not torch.equal(one, other)
    np.testing.assert_allclose(padded[:, :6].numpy(), one.numpy(), atol=1e-6)


def test_the_item_matrix_is_read_and_scored_by(toy):
    model = SASRec(dim=16, layers=1).fit(toy, epochs=1, batch_size=8, seed=0, device="cpu")
    np.testing.assert_array_equal(model.item_vectors(), model._network.items()[1:].detach().numpy())
    assert [name for name, tensor in model._network.named_parameters() if tensor.shape[:1] == (len(model.item_ids) + 1,)] == [
        "items.own.weight",
        "bias.weight",
    ]


def test_targets_read_only_strictly_earlier_events():
    rows = [("u", str(n), 1, time) for n, time in enumerate((1, 2, 2, 2, 3))]
    found = judged(world(rows))
    # All three of second 2 know only the event of second 1; the last knows all four.
    assert found.known.tolist() == [0, 1, 1, 1, 4] and found.before[:, :2].tolist() == [[0, 0], [1, 1], [1, 1], [1, 1], [4, 4]]
    (window,) = windows_of(found, 50)
    assert window.tokens.tolist() == [1, 2, 3, 4] and window.states.tolist() == [0, 0, 0, 3] and window.targets.tolist() == [1, 2, 3, 4]
    by_row = judged(world(rows, ties="file-order"))
    assert by_row.known.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("size", [2, 3, 4, 50])
def test_windows_hold_every_target_once_with_what_it_knows(toy, size):
    found = judged(toy)
    windows = windows_of(found, size)
    told = np.concatenate([window.targets for window in windows])
    assert sorted(told.tolist()) == np.flatnonzero(found.known > 0).tolist()
    for window in windows:
        assert 1 <= len(window.tokens) <= size
        for state, target in zip(window.states, window.targets, strict=True):
            read = found.tokens[found.user[target]][: found.known[target]]
            own = window.tokens[: state + 1]
            assert own.tolist() == read[-len(own) :].tolist()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
@pytest.mark.parametrize("history", ["all", "positives"])
def test_windows_are_those_that_are_found_target_by_target(size, history):
    generator = np.random.default_rng(size)
    rows = [(f"{generator.integers(4)}", f"{generator.integers(6)}", int(generator.integers(2)), int(time)) for time in np.arange(160) // 2]
    found = judged(world(rows), history)
    expected = []
    for user, read in enumerate(found.tokens):
        start, held = 0, []
        for target in np.flatnonzero(found.user == user):
            known = found.known[target]
            if known - start > size:
                expected.append((start, held, read))
                start, held = known - size // 2, []
            if known > start:
                held.append((known - start - 1, target))
        expected.append((start, held, read))
    told = [(read[start : start + held[-1][0] + 1].tolist(), *map(list, zip(*held, strict=True))) for start, held, read in expected if held]
    assert told == [(one.tokens.tolist(), one.states.tolist(), one.targets.tolist()) for one in windows_of(found, size)] and told


def test_positives_only_reads_no_dislike():
    rows = [("u", "0", 1, 1), ("u", "1", 0, 2), ("u", "2", 1, 3)]
    found = judged(world(rows), "positives")
    assert found.tokens[0].tolist() == [1, 3] and found.known.tolist() == [0, 1, 1] and not found.before.any()


def test_softmax_loss_is_the_hand_computed_one():
    items = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    bias = torch.tensor([0.0, 0.0, 0.5, -0.5])
    user = torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    # The second row is a dislike, which softmax does not read. Logits of the first: 1, 2 + .5, 3 - .5.
    expected = -2.5 + math.log(math.exp(1.0) + math.exp(2.5) + math.exp(2.5))
    loss = pair_loss(user, items, bias, torch.tensor([2, 1]), torch.tensor([1.0, 0.0]), kind="softmax")
    assert loss.item() == pytest.approx(expected, abs=1e-6)
    nothing = pair_loss(user, items, bias, torch.tensor([2, 1]), torch.zeros(2), kind="softmax")
    assert nothing.item() == 0.0


def test_bce_loss_is_the_hand_computed_one():
    items, bias = torch.tensor([[0.0], [1.0], [-1.0]]), torch.tensor([0.0, 0.5, 0.0])
    user = torch.tensor([[2.0], [2.0]])
    logits = (2.0 + 0.5 + 0.25, -2.0)
    expected = (math.log1p(math.exp(-logits[0])) + math.log1p(math.exp(logits[1]))) / 2
    args = (user, items, bias, torch.tensor([1, 2]), torch.tensor([1.0, 0.0]))
    assert pair_loss(*args, kind="bce", offset=torch.tensor([0.25, 0.0])).item() == pytest.approx(expected, abs=1e-6)

    class Drawn:
        def integers(self, low, high, shape):
            assert (low, high, shape) == (1, 3, (2, 1))
            return np.array([[1], [2]])

    away = (math.log1p(math.exp(2.0)) + math.log1p(math.exp(-2.0))) / 2
    loss = pair_loss(*args, kind="bce", offset=torch.tensor([0.25, 0.0]), negatives=1, negative_weight=0.5, generator=Drawn())
    assert loss.item() == pytest.approx(expected + 0.5 * away, abs=1e-6)


def test_a_judgement_is_left_out_of_its_own_rate():
    rates = like_rates(np.array([[0, 0], [3, 4], [1, 6]], dtype=np.float32))
    mean = (4 + 1) / (10 + 2)
    logit = math.log(mean / (1 - mean))
    whole = math.log((3 + 5 * mean) / (1 + 5 * (1 - mean))) - logit
    without = math.log((2 + 5 * mean) / (1 + 5 * (1 - mean))) - logit
    item = torch.tensor([1])
    assert rates.item(item).item() == pytest.approx(whole, abs=1e-5)
    assert rates.item(item, torch.tensor([1.0])).item() == pytest.approx(without, abs=1e-5)
    nothing = torch.zeros(1, 3)
    assert rates(item, nothing).item() == pytest.approx(logit + whole, abs=1e-5)
    assert rates.offsets(nothing).item() == 0.0
    # Three of four liked where two were to be expected, smoothed by fifteen.
    assert rates.offsets(torch.tensor([[3.0, 4.0, 2.0]])).item() == pytest.approx(4 * (3 - 2) / (4 + 15))


def test_attention_sums_to_one_and_padding_changes_nothing(toy):
    model = DIN(dim=8).fit(toy, epochs=2, seed=0, device="cpu")
    network = model._network.eval()
    ids = torch.tensor([[3, -5, 7, 0], [2, 0, 0, 0], [0, 0, 0, 0]])
    row, item, before = torch.arange(3), torch.tensor([4, 4, 4]), torch.tensor([[2.0, 3.0, 1.5], [1.0, 1.0, 0.5], [0.0, 0.0, 0.0]])
    with torch.inference_mode():
        weights = network.weights(ids, item, network.items())
        np.testing.assert_allclose(weights.sum(1).numpy(), np.ones((3, 2)), atol=1e-6)
        assert not weights[:, :-1][ids == 0].any() and (weights[:, :-1][ids != 0] > 0).all()
        assert (weights[2, -1] == 1).all(), "an empty history is looked away from"
        short = network(ids[:, :3], row, item, before)
        wide = network(torch.nn.functional.pad(ids, (0, 9)), row, item, before)
        np.testing.assert_allclose(short.numpy(), wide.numpy(), atol=1e-6)
        other = network.weights(ids, torch.tensor([9, 9, 9]), network.items())
        assert not torch.equal(weights, other), "attention is the target's"
    history = [Event("", "2", True, 1), Event("", "4", False, 2)]
    values = network.values(torch.tensor([[3, -5]]), network.items())[0].detach().numpy()
    np.testing.assert_allclose(model.history_vectors([history])[0], values.mean(axis=0), atol=1e-6)


def test_a_newton_step_is_ridge_regression_of_what_is_left():
    items, liked = np.array([[1.0, 0.0], [1.0, 1.0]], dtype=np.float32), np.array([1.0, 0.0], dtype=np.float32)
    found = _newton(items, liked, np.zeros(2), np.zeros(2, dtype=np.float32), 2.0)
    expected = np.linalg.solve(0.25 * items.T @ items + 2 * np.eye(2), items.T @ (liked - 0.5))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_an_mf_user_keeps_their_vector_until_they_judge_again(toy):
    model = MF(dim=8).fit(toy, epochs=3, seed=0, device="cpu")
    own = model._network.users.weight[1:].detach().numpy()
    users = toy.train_log.users
    np.testing.assert_array_equal(model.bind(toy.train_log).user_vectors(users), own)
    assert not np.array_equal(model.bind(toy.log).user_vectors(users), own)
    # Before their last training judgement, the learned vector would tell the future.
    early = toy.train_log.of("0")[-1].timestamp
    assert not np.array_equal(model.user_vectors(["0"], as_of=early)[0], own[users.index("0")])
