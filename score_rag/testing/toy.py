"""A small true world whose right answers are known beforehand: even users like even films, odd users like odd films.

For score-rag's own tests and for yours: what a recommender must find here is plain to see.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from score_rag.data.interactions import Interactions, items_frame
from score_rag.data.log import Item

__all__ = ["toy_world"]

_TASTES = (("Comedy", "Romance", "wedding"), ("Horror", "Thriller", "haunted house"))
_NAMES = (("Sunny", "Merry", "Sweet", "Happy"), ("Dark", "Grim", "Bloody", "Silent"))
_THINGS = ("Garden", "Street", "River", "Morning", "Letter", "House", "Winter", "Mirror", "Island", "Train", "Bridge", "Clock")


def toy_world(users: int = 24, items: int = 24, *, events: int = 14, seed: int = 0, noise: float = 0.0) -> Interactions:
    """A world of two tastes.

    Args:
        users: Users "0", "1", ...; a user's taste is its number modulo 2.
        items: Items "0", "1", ...; an item's taste likewise, told by its title and genres.
        events: Judgements a user, at times of their own; the first 70 % of time is train, then valid 15 %, test 15 %.
        noise: Share of labels that are flipped.
    """
    generator = np.random.default_rng(seed)
    catalogue = [
        Item(
            str(number),
            f"{_NAMES[number % 2][number // 2 % 4]} {_THINGS[number // 2 % 12]}" + (f" {number // 24 + 1}" if number >= 24 else ""),
            1980 + number,
            _TASTES[number % 2][:2],
            (f"Director {number % 2}{number // 2 % 3}",),
            (_TASTES[number % 2][2],),
        )
        for number in range(items)
    ]
    rows = []
    for user in range(users):
        seen = generator.permutation(items)[: min(events, items)]
        times = np.sort(generator.choice(100_000, len(seen), replace=False)) + 1_000_000_000
        for item, time in zip(seen, times, strict=True):
            liked = (user % 2 == item % 2) != (generator.random() < noise)
            rows.append((str(user), str(item), int(liked), int(time)))
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "label", "timestamp"], orient="row").sort("timestamp")
    places = np.arange(len(frame)) / len(frame)
    split = np.where(places < 0.7, "train", np.where(places < 0.85, "valid", "test"))
    return Interactions(frame.with_columns(split=pl.Series(split)), items_frame(catalogue))
