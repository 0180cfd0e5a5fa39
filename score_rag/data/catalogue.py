"""The catalogue, tidied: every item once, with a title that can stand in a sentence; what had to be decided is counted."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from score_rag.data.interactions import ITEM_COLUMNS
from score_rag.data.report import DataReport
from score_rag.data.table import Mistakes
from score_rag.errors import DataError

__all__ = ["clean_titles", "complete_items", "tidy_items"]

_ARTICLES = "The|A|An|La|Le|Les|Il|Lo|L'|Das|Der|Die|El|Los|Las|Un|Une|Den|Det"
_LONGEST_TITLE = 200
_MOST_WORDS = 12


def clean_titles(titles: pl.Series) -> tuple[pl.Series, pl.Series]:
    """(titles, years): `Usual Suspects, The (1995)` becomes `The Usual Suspects` and 1995.

    >>> [part.to_list() for part in clean_titles(pl.Series(["Heat (1995)", "Sting, The (1973)", "Babylon 5"]))]
    [['Heat', 'The Sting', 'Babylon 5'], [1995, 1973, None]]
    """
    text = titles.str.strip_chars()
    years = text.str.extract(r"\((\d{4})\)\s*$").cast(pl.Int32)
    bare = text.str.replace(r"\s*\(\d{4}\)\s*$", "")
    turned = bare.str.replace(rf"^(.*), ({_ARTICLES})( \(.*\))?$", "$2 $1$3")
    return turned, years


def tidy_items(items: pl.DataFrame, *, file: Path, mistakes: Mistakes, report: DataReport, list_separator: str = "|") -> pl.DataFrame:
    """A catalogue from what a file says.

    Args:
        items: `item_id` and `title` as text; if known `year` as text (otherwise a year in parentheses at the end of a title is taken, and a
            turned article is turned back) and `genres`, `creators`, `keywords`, as lists or as text joined by `list_separator`; `_line`.
        file: For messages.
        mistakes: Takes missing ids and impossible years; the caller settles.
        report: Takes decisions: missing titles, long titles, items listed twice.
    """
    mistakes.add(items, items["item_id"].is_null() | (items["item_id"].fill_null("") == ""), "item_id", file=file, expected="an id")
    if "year" in items.columns:
        years = items["year"].str.strip_chars().cast(pl.Float64, strict=False).cast(pl.Int32, strict=False)
        said = items["year"].fill_null("").str.strip_chars() != ""
        mistakes.add(items, years.is_null() & said, "year", file=file, expected="a year")
        titles = items["title"]
    else:
        titles, years = clean_titles(items["title"])
    # A title is one line of a prompt: white space of any kind in it is a space.
    titles = titles.str.replace_all(r"[\s\p{C}]+", " ").str.strip_chars()
    blank = titles.fill_null("") == ""
    report.decide("items without a title, named by their id", int(blank.sum()))
    long = titles.str.len_chars().fill_null(0) > _LONGEST_TITLE
    report.decide(f"titles longer than {_LONGEST_TITLE} characters, cut", int(long.sum()))
    titles = titles.str.slice(0, _LONGEST_TITLE)
    out = items.select("item_id").with_columns(
        title=pl.when(blank).then(pl.lit("item ") + pl.col("item_id")).otherwise(titles), year=years.cast(pl.Int32)
    )
    for column in ("genres", "creators", "keywords"):
        if column in items.columns:
            words = items[column] if items.schema[column] == pl.List(pl.String()) else items[column].fill_null("").str.split(list_separator)
            tidy = words.list.eval(
                pl.element().str.replace_all(r"[\s\p{C}]+", " ").str.strip_chars().filter(pl.element().str.strip_chars() != "")
            )
            out = out.with_columns(tidy.list.head(_MOST_WORDS).alias(column))
    again = out["item_id"].is_duplicated() & ~out["item_id"].is_first_distinct()
    report.decide("items listed more than once, the first entry is used", int(again.sum()))
    return out.filter(~again & out["item_id"].is_not_null())


def complete_items(events: pl.DataFrame, items: pl.DataFrame, report: DataReport, *, where: object) -> pl.DataFrame:
    """The catalogue with an entry for every item of the events; those that had none are named by their id.

    Raises:
        DataError: Not one item of the events is in the catalogue: the ids are of two kinds.
    """
    judged = events["item_id"].unique().cast(pl.String()).to_frame()
    lost = judged.join(items, on="item_id", how="anti").sort("item_id")
    if len(lost) and len(lost) == len(judged):
        raise DataError(
            "not one item of the events is in the catalogue",
            where=where,
            expected=f"ids such as {', '.join(map(repr, items['item_id'].head(3)))}",
            found=f"ids such as {', '.join(map(repr, lost['item_id'].head(3)))}",
            hint="are leading zeros or the wrong column the reason? (data.item_columns)",
        )
    report.decide("items that have events but are not in the catalogue, named by their id", len(lost))
    if not len(lost):
        return items
    lacking = {name: kind for name, kind in ITEM_COLUMNS.items() if name in items.columns}
    named = lost.select(pl.lit(None, dtype=kind).alias(name) for name, kind in lacking.items()).with_columns(
        item_id=lost["item_id"], title=pl.lit("item ") + lost["item_id"]
    )
    return pl.concat([items, named.select(items.columns)])
