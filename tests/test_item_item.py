"""Item-kNN and EASE: sparse and dense, by the formula, and what is too large."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

from score_rag.crm import item_item
from score_rag.crm.item_item import EASE, ItemKNN
from score_rag.data.interactions import Interactions, items_frame
from score_rag.data.log import Item
from score_rag.errors import InputError
from score_rag.recommend import conventional
from score_rag.testing import toy_world


@pytest.fixture(scope="module")
def world():
    return toy_world(users=50, items=30, events=20, seed=3)


def by_the_formula(model, world) -> np.ndarray:
    """Cosines of items' columns, shrunk; of each item's column the largest and those that equal the least of them."""
    rows = np.zeros((len(world.train_log), len(model.item_ids)), dtype=np.float32)
    for user, name in enumerate(world.train_log.users):
        for event in world.train_log.of(name):
            rows[user, model.item_ids.index(event.item_id)] = 1 if event.liked else -1
    rows = rows[:, model._warm]
    together = rows.T @ rows
    length = np.sqrt(np.diag(together))
    alike = together / (np.outer(length, length) + np.float32(model.settings.shrink))
    np.fill_diagonal(alike, 0)
    least = -np.sort(-np.abs(alike), axis=0)[model.settings.nearest - 1]
    return np.where(np.abs(alike) >= least, alike, np.float32(0))


@pytest.mark.parametrize("cells", [1, 100, 2**25])
def test_blocks_of_items_make_the_matrix_of_the_formula_to_the_bit(world, monkeypatch, cells):
    monkeypatch.setattr(item_item, "_CELLS", cells)
    told = []
    model = ItemKNN(nearest=4, shrink=3.0).fit(world, report=lambda what, done, total: told.append((what, done, total)))
    np.testing.assert_array_equal(model._weights.toarray(), by_the_formula(model, world))
    assert ("comparing items", len(model._warm), len(model._warm)) in told


def test_an_item_alone_is_scored_as_among_all_and_as_an_earlier_version_s_file_says(world, tmp_path):
    model = ItemKNN(nearest=4).fit(world).bind(world.log)
    events = [event for event in world.rows() if not event.sampled][-80:]
    every = model.score_catalogue([event.user_id for event in events])
    alone = [float(model.score(event.user_id, [event.item_id])[0]) for event in events]
    assert alone == [float(row[model.item_ids.index(event.item_id)]) for row, event in zip(every, events, strict=True)]
    model.save_pretrained(tmp_path)
    save_file({"weights": model._weights.toarray(), "warm": model._warm}, str(tmp_path / "model.safetensors"))
    np.testing.assert_array_equal(ItemKNN.from_pretrained(tmp_path).bind(world.log).score_events(events), model.score_events(events))


def test_what_is_too_large_is_said_before_memory_is_full(world, monkeypatch):
    monkeypatch.setattr(item_item, "MOST_ITEMS", 20)
    with pytest.raises(InputError, match="EASE solves a dense matrix"):
        EASE().fit(world)
    model = ItemKNN().fit(world).bind(world.log)
    monkeypatch.setattr(item_item, "_MOST_NUMBERS", 500)
    with pytest.raises(InputError, match="a number for each item"):
        model.user_vectors(world.train_log.users)


def test_before_anything_is_trained_item_knn_answers_where_it_is_fitted_in_seconds(world, monkeypatch):
    assert conventional.fit_from_data(world).kind == "item-knn"
    monkeypatch.setattr(conventional, "_PAIRS", 10)
    assert conventional.fit_from_data(world).kind == "like-rate"


def test_fitted_again_it_knows_nothing_of_before(world):
    other = toy_world(users=40, items=30, events=20, seed=9)
    model = ItemKNN(nearest=4).fit(world)
    events = list(other.rows("test"))[:20]
    model.score_events(list(world.rows("test"))[:3])
    np.testing.assert_array_equal(model.fit(other).score_events(events), ItemKNN(nearest=4).fit(other).score_events(events))
    nothing = model.fit(other.with_events(other.events.filter(pl.col("split") == "test").head(4)))
    assert not nothing.score_events(events).any()


def test_of_very_many_that_are_equally_near_the_first_are_kept():
    rows = [("one", f"i{n:03}", 1, n, "train", False) for n in range(60)] + [("two", "i000", 1, 99, "test", False)]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "label", "timestamp", "split", "sampled"], orient="row")
    kinds = {"user_id": pl.Categorical(), "item_id": pl.Categorical(), "label": pl.Int8()}
    lone = Interactions(frame.cast(kinds), items_frame([Item(f"i{n:03}", f"Film {n}") for n in range(60)]))
    weights = ItemKNN(nearest=2).fit(lone)._weights.toarray()
    assert (weights[:20, 30] > 0).all() and not weights[20:, 30].any(), "ten times its two nearest, by place"
    assert (weights > 0).sum() == 60 * 20
