"""The catalogue, tidied: every item once, with a title that can stand in a sentence; what had to be decided is counted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from score_rag.data.attributes import Attributes
from score_rag.data.interactions import ITEM_COLUMNS
from score_rag.data.mistakes import Mistakes, shown
from score_rag.data.report import DataReport
from score_rag.data.titles import name_items, tidy_titles
from score_rag.data.words import LISTS, tidy_words
from score_rag.errors import DataError

__all__ = ["complete_items", "require_known", "tidy_items", "without_strangers"]


def tidy_items(
    items: pl.DataFrame,
    *,
    file: Path,
    mistakes: Mistakes,
    report: DataReport,
    list_separator: str | Mapping[str, str] | None = "|",
    called: Mapping[str, str] | None = None,
    strict: bool = False,
) -> pl.DataFrame:
    """A catalogue from what a file says.

    Args:
        items: `item_id` and `title` as text; if known `year` as text (otherwise a year in parentheses at the end of a title is taken), and
            `genres`, `creators`, `keywords`, as lists or as text joined by `list_separator`; `_line`.
        file: For messages.
        mistakes: Takes missing ids, and with `strict` what cannot be understood; the caller settles.
        report: Takes decisions: missing titles, long titles, items listed twice, cells that count as unknown.
        list_separator: Between words in one cell, of all columns or by column; None looks at the cells.
        called: Our names to the file's, for messages.
        strict: Refuse attributes that cannot be understood, instead of leaving them unknown.
    """
    attributes = Attributes(file, mistakes, report, strict, dict(called or {}))
    empty = items.select(pl.all_horizontal(items[name].is_null() for name in ("item_id", "title"))).to_series()
    report.decide("empty lines in the catalogue, left out", int(empty.sum()))
    items = items.filter(~empty)
    ids = items["item_id"].str.strip_chars()
    nameless = ids.is_null() | (ids == "").fill_null(True) | ids.str.contains("\0", literal=True).fill_null(True)
    mistakes.add(items, nameless, "item_id", file=file, expected="an id", called=attributes.called.get("item_id"))
    report.decide("item ids with white space around them, trimmed", int((ids != items["item_id"]).sum()))
    titles, years = tidy_titles(items["title"], attributes.years(items) if "year" in items.columns else None, report)
    blank = titles.fill_null("") == ""
    report.decide("items without a title, named by their id", int(blank.sum()))
    named = pl.select(pl.when(blank).then(name_items(ids)).otherwise(titles)).to_series()
    out = pl.DataFrame({"item_id": ids, "title": named, "year": years})
    for column in LISTS:
        if column in items.columns:
            separator = list_separator.get(column) if isinstance(list_separator, Mapping) else list_separator
            out = out.with_columns(tidy_words(items, column, attributes, separator).alias(column))
    again = ~out["item_id"].is_first_distinct()
    report.decide("items listed more than once, the first entry is used", int((again & ~nameless).sum()))
    return out.filter(~again & ~nameless)


def require_known(events: pl.DataFrame, items: pl.DataFrame, *, where: object) -> pl.DataFrame:
    """The ids of the events' items that the catalogue lacks, sorted.

    Raises:
        DataError: It lacks all of them: the ids are of two kinds.
    """
    judged = events["item_id"].unique().cast(pl.String()).to_frame()
    lost = judged.join(items, on="item_id", how="anti").sort("item_id")
    if len(lost) and len(lost) == len(judged):
        raise DataError(
            "not one item of the events is in the catalogue",
            where=where,
            expected=f"ids such as {', '.join(map(shown, items['item_id'].head(3)))}" if len(items) else "a catalogue that is not empty",
            found=f"ids such as {', '.join(map(shown, lost['item_id'].head(3)))}",
            hint="are leading zeros or the wrong column the reason? (data.item_columns)",
        )
    return lost


def complete_items(events: pl.DataFrame, items: pl.DataFrame, report: DataReport, *, where: object) -> pl.DataFrame:
    """The catalogue with an entry for every item of the events; those that had none are named by their id.

    Raises:
        DataError: Not one item of the events is in the catalogue: the ids are of two kinds.
    """
    lost = require_known(events, items, where=where)
    report.decide("items that have events but are not in the catalogue, named by their id", len(lost))
    if not len(lost):
        return items
    named = lost.with_columns(title=name_items(lost["item_id"]))
    more = {name: kind for name, kind in ITEM_COLUMNS.items() if name in items.columns and name not in named.columns}
    named = named.with_columns(pl.lit(None, dtype=kind).alias(name) for name, kind in more.items())
    return pl.concat([items, named.select(items.columns)])


def without_strangers(events: pl.DataFrame, items: pl.DataFrame, report: DataReport) -> pl.DataFrame:
    """The events of items that the catalogue has."""
    known = pl.Series(items["item_id"].to_list(), dtype=pl.String()).implode()
    names = events["item_id"].unique().cast(pl.String())
    strangers = names.filter(~names.is_in(known)).cast(pl.Categorical())
    kept = events.filter(~pl.col("item_id").is_in(strangers.implode())) if len(strangers) else events
    report.drop("of items that are not in the catalogue (data.unknown_items: drop)", len(events) - len(kept))
    return kept
