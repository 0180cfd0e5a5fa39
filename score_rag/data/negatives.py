"""Sampled negatives: implicit feedback has no negatives, so questions with the answer No are sampled, and every report says so."""

from __future__ import annotations

import numpy as np
import polars as pl

from score_rag.data.choices import Sampling
from score_rag.data.interactions import LEARNED
from score_rag.errors import ChangeSetting, DataError

__all__ = ["add_negatives"]

_ROUNDS = 100


def add_negatives(events: pl.DataFrame, item_ids: pl.Series, *, count: int, sampling: Sampling = "uniform", seed: int = 0) -> pl.DataFrame:
    """Events, each preceded by `count` sampled negatives of its user and time, distinct among themselves.

    Background events are no questions and have none. A negative is never an item that the user has at any time, in any split, background
    among them. It stands before its event, so that no order within the second could tell it what its event was.

    Args:
        events: Sorted; all of them likes; with `user_id`, `item_id`, `split`.
        item_ids: The whole catalogue, to draw from.
        count: Negatives an event.
        sampling: `uniform` over the catalogue, or by `popularity`: in proportion to training events, background among them (plus one, so
            that cold items occur).
        seed: Of the draw.

    Raises:
        DataError: Some user has so many items that too few are left to draw.
    """
    names = item_ids.cast(pl.String())
    items = (
        events["item_id"]
        .cast(pl.String())
        .to_frame()
        .join(pl.DataFrame({"item_id": names, "place": np.arange(len(names))}), on="item_id", how="left", maintain_order="left")["place"]
        .to_numpy()
    )
    users = events.select(pl.col("user_id").rank("dense").cast(pl.Int64) - 1).to_series().to_numpy()
    own = np.unique(users * len(names) + items)
    most = int(np.bincount(own // len(names)).max())
    if most + count > len(names):
        raise DataError(
            "there are too few items to draw negatives from",
            expected=f"at least {most + count} items (the busiest user has {most}, and {count} are sampled for each event)",
            found=len(names),
            remedy=ChangeSetting({"data.negatives": 1}) if count > 1 else None,
        )
    generator = np.random.default_rng(seed)
    chance = None
    split = events["split"].cast(pl.String())
    questions = np.flatnonzero((split != "background").to_numpy())
    asking = users[questions]
    if sampling == "popularity":
        chance = np.bincount(items[split.is_in(LEARNED).to_numpy()], minlength=len(names)) + 1.0
        chance = np.cumsum(chance / chance.sum())

    def draw(size: int) -> np.ndarray:
        if chance is None:
            return generator.integers(0, len(names), size)
        return np.minimum(np.searchsorted(chance, generator.random(size), side="right"), len(names) - 1)

    drawn = draw(len(questions) * count).reshape(len(questions), count)
    for _ in range(_ROUNDS):
        bad = _refused(drawn, asking, own, len(names))
        if not bad.any():
            break
        drawn[bad] = draw(int(bad.sum()))
    for row in np.flatnonzero(_refused(drawn, asking, own, len(names)).any(axis=1)):
        # Somebody who has nearly everything: choose from what is left, one by one.
        taken = own[np.searchsorted(own, asking[row] * len(names)) : np.searchsorted(own, (asking[row] + 1) * len(names))] % len(names)
        drawn[row] = generator.choice(np.setdiff1d(np.arange(len(names)), taken), count, replace=False)
    place = np.repeat(questions, count)
    negatives = events[place].with_columns(
        item_id=names.gather(drawn.ravel()).cast(pl.Categorical()), label=pl.lit(0, dtype=pl.Int8), sampled=pl.lit(True)
    )
    order = np.argsort(np.concatenate([place * 2, np.arange(len(events)) * 2 + 1]), kind="stable")
    return pl.concat([negatives, events.with_columns(sampled=pl.lit(False))])[order]


def _refused(drawn: np.ndarray, users: np.ndarray, own: np.ndarray, items: int) -> np.ndarray:
    """bool [events, count]: the user's own items, and repetitions within an event."""
    keys = users[:, None] * items + drawn
    there = np.minimum(np.searchsorted(own, keys), len(own) - 1)
    bad = own[there] == keys
    order = np.argsort(drawn, axis=1, kind="stable")
    ranked = np.take_along_axis(drawn, order, axis=1)
    again = np.zeros_like(bad)
    np.put_along_axis(again, order[:, 1:], ranked[:, 1:] == ranked[:, :-1], axis=1)
    return np.asarray(bad | again)
