"""Ids that were stored as decimals: `1.0` and `1` are one, in every format, where all ids of a column are numbers."""

from __future__ import annotations

import polars as pl

from score_rag.data.report import DataReport

__all__ = ["DECIMAL", "whole_ids"]

DECIMAL = "ids stored as decimals (7.0), read as whole numbers"
_NUMBER = r"^\s*-?\d+(\.0+)?\s*$"
_ENDING = r"\.0+\s*$"


def whole_ids(events: pl.DataFrame, items: pl.DataFrame, report: DataReport) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Events and items whose ids are written one way.

    Where every id of users (of items: in both tables) is a whole number, with or without `.0` behind it, that is taken off. Ids among which
    one is no number stay as they are: `1.0` may be a version.
    """
    for name in ("user_id", "item_id"):
        tables = [events] if name == "user_id" else [events, items]
        known = pl.concat([table[name].unique().cast(pl.String()) for table in tables]).drop_nulls()
        if not known.str.contains(_ENDING).any() or not known.str.contains(_NUMBER).all():
            continue
        count = int(events[name].cast(pl.String()).str.contains(_ENDING).sum())
        events = events.with_columns(pl.col(name).cast(pl.String()).str.replace(_ENDING, "").cast(pl.Categorical()))
        if name == "item_id":
            count += int(items[name].str.contains(_ENDING).sum())
            items = items.with_columns(pl.col(name).str.replace(_ENDING, ""))
        report.decide(DECIMAL, count)
    return events, items
