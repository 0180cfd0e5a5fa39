"""Judgements by whole columns against the loops that they stand for, and what validation reads once."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from leak_worlds import ITEMS, worlds

from score_rag.crm.interface import UserHistory
from score_rag.crm.judgements import Judgements, RepeatedQuestions, counts, once, tokens
from score_rag.crm.lightgcn import LightGCN
from score_rag.crm.rates import smoothed
from score_rag.data.interactions import event_rows

PLACE = {item.item_id: place for place, item in enumerate(ITEMS)}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(world=worlds())
@pytest.mark.parametrize("history", ["all", "positives"])
def test_judgements_are_what_plain_loops_say(history, world):
    judged = Judgements.of(world, PLACE, history)
    events: dict[str, list] = {}
    for event in event_rows(world.learned):
        events.setdefault(event.user_id, []).append(event)
    assert judged.users == list(events)
    table = np.zeros((len(PLACE) + 1, 2))
    for event in (event for own in events.values() for event in own):
        table[PLACE[event.item_id] + 1] += (event.liked, 1)
    np.testing.assert_array_equal(judged.rates, smoothed(table))
    row = 0
    for number, own in enumerate(events.values()):
        read = [event for event in own if not event.sampled]
        assert judged.tokens[number].tolist() == tokens(read, PLACE, history)
        assert judged.until[number] == own[-1].timestamp
        for event in own:
            known = world.train_log.earlier(event)
            expected = 0.0
            for earlier in known:
                expected += judged.rates[PLACE[earlier.item_id] + 1]
            before = (sum(earlier.liked for earlier in known), len(known), expected) if history == "all" else (0, 0, 0)
            assert (judged.user[row], judged.item[row], judged.liked[row]) == (number, PLACE[event.item_id] + 1, event.liked)
            assert judged.known[row] == len(tokens(known, PLACE, history))
            assert judged.before[row].tolist() == np.array(before, dtype=np.float32).tolist()
            row += 1
    assert row == len(judged)


def test_histories_of_repeated_questions_are_read_once(toy):
    asked = [UserHistory(toy.log.earlier(event), event.user_id, event.timestamp) for event in toy.rows("valid")]
    repeated, calls = RepeatedQuestions(asked), []

    def make(questions):
        calls.append(len(questions))
        return len(calls)

    assert [once(repeated, "x", make) for _ in range(3)] == [1, 1, 1] and once(repeated, "y", make) == 2
    assert [once(asked, "x", make) for _ in range(2)] == [3, 4]
    place = {item: number for number, item in enumerate(toy.catalogue)}
    rates = np.linspace(0, 1, len(place) + 1)
    np.testing.assert_array_equal(counts(repeated, place, rates, "all"), counts(asked, place, rates, "all"))


def test_a_lightgcn_batch_leaves_out_the_edges_of_its_own_judgements(toy):
    torch = pytest.importorskip("torch")
    model = LightGCN(dim=4).fit(toy, epochs=1, seed=0, device="cpu")
    graph, edges = model._whole_graph(), model._edges
    left = graph.without(torch.tensor([0, 3]))
    for number in range(edges.shape[1]):
        there = left.weights[graph.places[number]].tolist()
        assert there == ([0.0, 0.0] if number in (0, 3) else graph.weights[graph.places[number]].tolist())
        assert graph.ends[graph.places[number]].tolist() == edges[::-1, number].tolist()
    assert graph.weights.min() > 0, "the graph itself is untouched"


def test_a_world_of_dislikes_has_a_graph_without_edges(toy):
    world = toy.with_events(toy.events.with_columns(label=pl.lit(0, dtype=pl.Int8)))
    model = LightGCN(dim=4).fit(world, epochs=1, seed=0, device="cpu")
    assert model._edges.shape == (2, 0) and np.isfinite(model.score_catalogue(["0"])).all()
