"""What CAR learns from: batches, negatives, and the loss on them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from encoder_world import ring

from score_rag.retriever.examples import Neighbourhood, contrastive_batches
from score_rag.retriever.loss import NeighbourLoss
from score_rag.retriever.negatives import hard_negatives

NOBODY = np.zeros(30, dtype=bool)


def test_every_user_is_in_a_full_batch_beside_a_neighbour():
    world = ring()
    batches = contrastive_batches(world, NOBODY, batch_size=8, seed=0)
    assert {number for batch in batches for _, number in batch} == set(range(30))
    assert all(len(batch) in (7, 8) for batch in batches[:-1]) and len(batches[-1]) <= 8
    for batch in batches:
        inside = {number for _, number in batch}
        assert all(inside & {(n + 1) % 30, (n + 2) % 30, (n - 1) % 30, (n - 2) % 30} for n in inside)


def test_negatives_come_from_outside_a_batch_and_are_nobody_s_neighbours_while_there_are_others():
    world = ring()
    held = world.hold_out(0.2, 0)
    plain = contrastive_batches(world, held, batch_size=4, seed=3)
    assert all(number >= 0 for batch in plain for _, number in batch)
    batches = contrastive_batches(world, held, batch_size=4, seed=3, negatives=6)
    assert batches == contrastive_batches(world, held, batch_size=4, seed=3, negatives=6)
    for batch in batches:
        inside = [number for _, number in batch if number >= 0]
        drawn = [~number for _, number in batch if number < 0]
        near = {int(other) for user in inside for other in world.neighbours[user]}
        assert len(inside) <= 4 and len(drawn) == len(set(drawn)) == 6
        assert not set(drawn) & (near | set(inside) | set(np.flatnonzero(held)))
    (everybody,) = contrastive_batches(ring(6), NOBODY[:6], batch_size=4, seed=0, negatives=9)[:1]
    assert sorted(number if number >= 0 else ~number for _, number in everybody) == list(range(6)), (
        "neighbours too, where others are too few"
    )


def test_hard_negatives_read_alike_and_are_collaboratively_far():
    # Eight users on a circle of documents; the CRM sees two camps, 0 to 3 and 4 to 7, and nothing of user 7.
    angles = np.array([0, 50, 100, 150, 10, 60, 110, 160]) * math.pi / 180
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    camps = np.array([[1, 0]] * 4 + [[0, 1]] * 3 + [[0, 0]], dtype=np.float32)
    table = np.array([[1], [0], [3], [2], [5], [4], [5], [-1]])
    world = Neighbourhood([str(n) for n in range(8)], table, [[str(n)] for n in range(8)])
    found = hard_negatives(vectors, world, NOBODY[:8], 2, teacher=camps, near=2)
    assert found[0].tolist() == [4, 5] and found[1].tolist() == [5, 4]  # 10 and 60 degrees off; 10 and 40
    assert found[4].tolist() == [0, 1] and found[6].tolist() == [2, 3]
    assert found[7].tolist() == [-1, -1] and 7 not in found, "of whom nothing is known cannot be said to be far"
    np.testing.assert_array_equal(hard_negatives(vectors, world, NOBODY[:8], 2, teacher=camps, near=2, cells=1), found)
    held = np.arange(8) == 4
    assert hard_negatives(vectors, world, held, 1, teacher=camps, near=2)[:, 0].tolist() == [5, 5, 6, 6, -1, 1, 2, -1]
    # Without vectors: to 6, 5 is near (a neighbour) and 4 (5's neighbour); to 5, 6 is (whose neighbour 5 is).
    alone = hard_negatives(vectors, world, NOBODY[:8], 2)
    assert alone[0].tolist() == [4, 5] and alone[4].tolist() == [0, 1] and alone[6].tolist() == [2, 3]
    assert alone[5].tolist() == [1, 2]


def test_documents_that_say_the_same_are_no_negatives_and_hard_ones_join_the_batch():
    world = ring(6)
    same = np.ones((6, 3), dtype=np.float32) / math.sqrt(3)
    assert (hard_negatives(same, world, NOBODY[:6], 2) == -1).all()
    hard = np.full((30, 1), -1)
    hard[:, 0] = (np.arange(30) + 15) % 30
    for batch in contrastive_batches(ring(), NOBODY, batch_size=6, seed=1, hard=hard):
        inside = [number for _, number in batch if number >= 0]
        assert {~number for _, number in batch if number < 0} == {(n + 15) % 30 for n in inside} - set(inside)
        assert all(text == f"new {~number}" for text, number in batch if number < 0)


class Given(torch.nn.Module):
    """An encoder whose vectors are its input."""

    def forward(self, features):
        return {"sentence_embedding": features["input_ids"]}


def test_a_negative_only_asks_nothing_and_is_left_out_where_it_is_a_neighbour():
    # 0 and 1 are neighbours; 2 is a negative only, and a neighbour of 0.
    vectors = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8]])
    loss = NeighbourLoss(Given(), torch.tensor([[1, 2], [0, -1], [0, -1]]), temperature=0.5)
    value = float(loss([{"input_ids": vectors}], torch.tensor([0, 1, ~2])))
    # cos(0, 1) = .8, cos(1, 2) = .8 * .6 + .6 * .8 = .96; 0 has no negative left, 1 has one.
    expected = (0.0 + math.log(1 + math.exp((0.96 - 0.8) / 0.5))) / 2
    assert value == pytest.approx(expected, abs=1e-6)
