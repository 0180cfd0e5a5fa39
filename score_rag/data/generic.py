"""Your own data as two tables: `interactions` and `items`, each a CSV or Parquet file of one folder."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from score_rag.data.interactions import Interactions
from score_rag.data.movielens import clean_titles
from score_rag.data.table import Mistakes, read_table, to_number
from score_rag.errors import DataError

__all__ = ["read_tables"]


def read_tables(folder: Path, *, threshold: float) -> Interactions:
    """Read `interactions` (user_id, item_id, timestamp, and label or rating; split if it is given) and `items`.

    `items` has item_id and title, and if known year, genres, creators, keywords (several values joined by `|`). Without a year column, a
    year in parentheses at the end of a title is taken as the year, and a turned article (`Sting, The`) is turned back.

    Raises:
        DataError: A file or column is missing, or rows are malformed.
    """
    mistakes = Mistakes()
    events, file = read_table(folder, "interactions", required=["user_id", "item_id", "timestamp"])
    judged = "label" if "label" in events.columns else "rating"
    if judged not in events.columns:
        raise DataError(
            "the interactions say nothing of liking",
            where=file,
            expected="a column label (0 or 1) or rating",
            found=", ".join(events.columns[1:]),
        )
    events = to_number(
        events,
        {judged: (pl.Float64, "0 or 1" if judged == "label" else "a number"), "timestamp": (pl.Int64, "whole seconds since 1970")},
        file=file,
        mistakes=mistakes,
    )
    for column in ("user_id", "item_id"):
        mistakes.add(events, events[column].is_null(), column, file=file, expected="an id")
    if judged == "label":
        as_text = events.with_columns(pl.col("label").cast(pl.String()))
        mistakes.add(as_text, (~events["label"].is_in([0.0, 1.0])) & events["label"].is_not_null(), "label", file=file, expected="0 or 1")
    items, items_file = read_table(folder, "items", required=["item_id", "title"])
    mistakes.add(items, items["title"].is_null(), "title", file=items_file, expected="a title")
    mistakes.add(items, items["item_id"].is_null(), "item_id", file=items_file, expected="an id")
    if "year" in items.columns:
        years = items["year"].str.strip_chars().cast(pl.Int32, strict=False)
        mistakes.add(
            items, years.is_null() & items["year"].is_not_null() & (items["year"] != ""), "year", file=items_file, expected="a year"
        )
        titles = items["title"]
    else:
        titles, years = clean_titles(items["title"].fill_null(""))
    mistakes.settle(folder)
    catalogue = pl.DataFrame({"item_id": items["item_id"], "title": titles, "year": years})
    for column in ("genres", "creators", "keywords"):
        if column in items.columns:
            words = items[column].fill_null("").str.split("|").list.eval(pl.element().str.strip_chars().filter(pl.element() != ""))
            catalogue = catalogue.with_columns(words.alias(column))
    label = pl.col("label") if judged == "label" else (pl.col("rating") >= threshold)
    wanted = [pl.col("user_id"), pl.col("item_id"), label.cast(pl.Int8).alias("label"), pl.col("timestamp")]
    return Interactions(events.select(wanted + ([pl.col("split")] if "split" in events.columns else [])), catalogue)
