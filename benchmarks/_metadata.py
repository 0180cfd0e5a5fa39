"""A catalogue that says less, or says it wrong: how far the retriever depends on what is written about items."""

from __future__ import annotations

import numpy as np
import polars as pl

from score_rag.data.interactions import Interactions

METADATA = ("as it is", "titles only", "generic titles", "noisy genres")
_EMPTY = pl.lit([], dtype=pl.List(pl.String()))
_NOISE = 0.5


def with_metadata(data: Interactions, kind: str, *, seed: int) -> Interactions:
    """The same events of a poorer catalogue.

    Args:
        data: Its events stay as they are.
        kind: One of `METADATA`. `titles only`: no year, genres, creators, keywords. `generic titles`: an item's title is its number in the
            catalogue, all else stays. `noisy genres`: half of all genres are replaced by one drawn as often as it occurs.
        seed: Of the drawing.
    """
    items = data.items
    if kind == "titles only":
        items = items.with_columns(_EMPTY.alias("genres"), _EMPTY.alias("creators"), _EMPTY.alias("keywords"), year=None)
    elif kind == "generic titles":
        items = items.with_columns(title=pl.concat_str(pl.lit("Item "), pl.int_range(1, len(items) + 1).cast(pl.String())))
    elif kind == "noisy genres":
        items = items.with_columns(genres=_noisy(items["genres"].to_list(), np.random.default_rng(seed)))
    elif kind != "as it is":
        raise SystemExit(f"--metadata: {kind!r} is none of {', '.join(METADATA)}")
    return Interactions(data.events, items, ties=data.ties, clock=data.clock)


def _noisy(genres: list[list[str]], generator: np.random.Generator) -> pl.Series:
    every = [name for names in genres for name in names]
    drawn = [
        list(dict.fromkeys(every[generator.integers(len(every))] if generator.random() < _NOISE else name for name in names))
        for names in genres
    ]
    return pl.Series(drawn, dtype=pl.List(pl.String()))
