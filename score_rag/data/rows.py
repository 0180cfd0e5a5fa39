"""From objects to frames, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import polars as pl

from score_rag.data.event import Event, Item
from score_rag.errors import DataError

__all__ = ["ITEM_COLUMNS", "event_rows", "items_frame", "require_columns", "whole_items"]

ITEM_COLUMNS = {
    "item_id": pl.String(),
    "title": pl.String(),
    "year": pl.Int32(),
    "genres": pl.List(pl.String()),
    "creators": pl.List(pl.String()),
    "keywords": pl.List(pl.String()),
}

_SLICE = 65_536
"""Rows that are made into objects at a time."""


def event_rows(frame: pl.DataFrame) -> Iterator[Event]:
    """The rows of an events frame as `Event`s."""
    columns = ("user_id", "item_id", "label", "timestamp", "event", "sampled")
    for part in frame.select(columns).with_columns(pl.col("label") != 0).iter_slices(_SLICE):
        yield from map(Event._make, zip(*(part[name].to_list() for name in columns), strict=True))


def items_frame(items: Iterable[Mapping[str, object]] | Iterable[Item]) -> pl.DataFrame:
    """A catalogue frame from `Item`s (or mappings with the same keys)."""
    rows = [
        {
            "item_id": i.item_id,
            "title": i.title,
            "year": i.year,
            "genres": list(i.genres),
            "creators": list(i.creators),
            "keywords": list(i.keywords),
        }
        if isinstance(i, Item)
        else dict(i)
        for i in items
    ]
    return pl.DataFrame(rows, schema_overrides={k: v for k, v in ITEM_COLUMNS.items() if not rows or k in rows[0]})


def require_columns(frame: pl.DataFrame, names: Sequence[str], what: str) -> None:
    """Refuse a frame that lacks a column."""
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise DataError(f"{what} lack columns: {', '.join(missing)}", expected=", ".join(names), found=", ".join(frame.columns))


def whole_items(items: pl.DataFrame) -> pl.DataFrame:
    """A catalogue with all its columns, each item once."""
    require_columns(items, ["item_id", "title"], "items")
    for name, kind in ITEM_COLUMNS.items():
        if name not in items.columns:
            items = items.with_columns(pl.lit([] if kind == pl.List(pl.String()) else None, dtype=kind).alias(name))
    items = items.select([pl.col(name).cast(kind) for name, kind in ITEM_COLUMNS.items()]).with_columns(
        pl.col("genres", "creators", "keywords").fill_null([])
    )
    twice = items.filter(pl.col("item_id").is_duplicated())
    if len(twice):
        raise DataError("an item occurs more than once in the catalogue", found=", ".join(twice["item_id"].unique().sort().head(5)))
    return items
