"""Several items in one cell: rows of one item each."""

from __future__ import annotations

import polars as pl

from score_rag.data.report import DataReport

__all__ = ["unroll"]


def unroll(cells: pl.DataFrame, report: DataReport) -> pl.DataFrame:
    """Rows of one item each, with `label` where every item has one (`N1-1 N2-0`, as MIND writes impressions).

    Args:
        cells: Text, with `item_id` as a list between spaces.
        report: Takes the number of rows that list nothing.
    """
    listed = cells.with_columns(item_id=pl.col("item_id").fill_null("").str.extract_all(r"\S+"))
    report.decide("rows that list no item", int((listed["item_id"].list.len() == 0).sum()))
    rows = listed.filter(pl.col("item_id").list.len() > 0).explode("item_id")
    report.decide("events in lists of several items, unrolled", len(rows))
    if not len(rows) or not rows["item_id"].str.contains(r"^.+-[01]$").all():
        return rows
    parts = rows["item_id"].str.extract_groups(r"^(.+)-([01])$").struct.rename_fields(["item_id", "label"])
    return rows.drop("item_id").with_columns(parts.struct.unnest())
