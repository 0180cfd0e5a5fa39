"""The catalogue, tidied: every item once, with a title that can stand in a sentence; what had to be decided is counted."""

from __future__ import annotations

import html
from pathlib import Path

import polars as pl

from score_rag.data.interactions import ITEM_COLUMNS
from score_rag.data.mistakes import Mistakes, shown
from score_rag.data.report import DataReport
from score_rag.errors import DataError

__all__ = ["clean_titles", "complete_items", "require_known", "tidy_items", "without_strangers"]

_ARTICLES = "The|A|An|La|Le|Les|Il|Lo|L'|Das|Der|Die|El|Los|Las|Un|Une|Den|Det"
_LONGEST_TITLE = 200
_MOST_WORDS = 12
# Line breaks and control characters; with them white space, and the marks that turn the direction of all text behind them. The joiners
# that emoji and some scripts are spelled with stay.
_BREAK = r"[\p{Cc}\x{2028}\x{2029}]"
_SPACE = r"[\s\p{Cc}\x{202A}-\x{202E}\x{2066}-\x{2069}\x{FEFF}]+"


def clean_titles(titles: pl.Series) -> tuple[pl.Series, pl.Series]:
    """(titles, years): `Usual Suspects, The (1995)` becomes `The Usual Suspects` and 1995.

    >>> [part.to_list() for part in clean_titles(pl.Series(["Heat (1995)", "Sting, The (1973)", "Babylon 5"]))]
    [['Heat', 'The Sting', 'Babylon 5'], [1995, 1973, None]]
    """
    text = titles.str.strip_chars()
    years = text.str.extract(r"\(([0-9]{4})\)\s*$").cast(pl.Int32)
    bare = text.str.replace(r"\s*\([0-9]{4}\)\s*$", "")
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
    empty = items.select(pl.all_horizontal(items[name].is_null() for name in ("item_id", "title"))).to_series()
    report.decide("empty lines in the catalogue, left out", int(empty.sum()))
    items = items.filter(~empty)
    ids = items["item_id"].str.strip_chars()
    nameless = ids.is_null() | (ids == "").fill_null(True) | ids.str.contains("\0", literal=True).fill_null(True)
    mistakes.add(items, nameless, "item_id", file=file, expected="an id")
    report.decide("item ids with white space around them, trimmed", int((ids != items["item_id"]).sum()))
    titles = _unescaped(items["title"].str.strip_chars(), report)
    broken = titles.str.contains(_BREAK)
    report.decide("titles with line breaks or control characters, which became spaces", int(broken.sum()))
    titles = _one_line(titles)
    bare, own = clean_titles(titles)
    if "year" in items.columns:
        said = items["year"].str.strip_chars()
        number = said.cast(pl.Float64, strict=False)
        fits = number.is_between(1, 9999) & (number == number.floor())
        mistakes.add(items, (said != "") & ~fits.fill_null(False), "year", file=file, expected="a year such as 1995")
        years = number.set(~fits.fill_null(False), None).cast(pl.Int32)
        # A year that the title repeats would be told twice.
        titles = titles.set((own == years).fill_null(False), None).fill_null(bare)
    else:
        titles, years = bare, own
    blank = titles.fill_null("") == ""
    report.decide("items without a title, named by their id", int(blank.sum()))
    titles = _cut(titles, "titles", report)
    out = pl.DataFrame({"item_id": ids, "title": pl.select(pl.when(blank).then(_name(ids)).otherwise(titles)).to_series(), "year": years})
    for column in ("genres", "creators", "keywords"):
        if column in items.columns:
            words = items[column] if items.schema[column] == pl.List(pl.String()) else items[column].fill_null("").str.split(list_separator)
            out = out.with_columns(_tidy_words(words, column, report).alias(column))
    again = ~out["item_id"].is_first_distinct()
    report.decide("items listed more than once, the first entry is used", int((again & ~nameless).sum()))
    return out.filter(~again & ~nameless)


def _one_line(text: pl.Series) -> pl.Series:
    """A title is a part of one line of a prompt: white space of any kind in it is a space, and so are control characters."""
    return text.str.replace_all(_SPACE, " ").str.strip_chars()


def _unescaped(titles: pl.Series, report: DataReport) -> pl.Series:
    """`Tom &amp; Jerry` is what a web page says; people, and prompts, say `Tom & Jerry`."""
    coded = titles.str.contains(r"&(#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});").fill_null(False)
    if not coded.any():
        return titles
    found = titles.filter(coded).unique()
    changed = titles.replace(found, pl.Series([html.unescape(title) for title in found], dtype=pl.String()))
    report.decide("titles in the coding of web pages (&amp; and the like), put into plain signs", int((changed != titles).sum()))
    return changed


def _cut(text: pl.Series, what: str, report: DataReport) -> pl.Series:
    report.decide(f"{what} longer than {_LONGEST_TITLE} characters, cut", int((text.str.len_chars() > _LONGEST_TITLE).sum()))
    return text.str.slice(0, _LONGEST_TITLE)


def _name(ids: pl.Series) -> pl.Series:
    """What an item without a title is called."""
    return _one_line("item " + ids).str.slice(0, _LONGEST_TITLE)


def _tidy_words(words: pl.Series, column: str, report: DataReport) -> pl.Series:
    flat = pl.DataFrame({"row": pl.int_range(len(words), eager=True), "word": words}).explode("word").drop_nulls()
    flat = flat.with_columns(word=_cut(_one_line(flat["word"]), column, report)).filter(pl.col("word") != "")
    lists = flat.group_by("row", maintain_order=True).agg("word")
    many = lists["word"].list.len() > _MOST_WORDS
    report.decide(f"items with more than {_MOST_WORDS} {column}, of which the first are used", int(many.sum()))
    every = pl.DataFrame({"row": pl.int_range(len(words), eager=True)}).join(lists, on="row", how="left", maintain_order="left")
    return every["word"].list.head(_MOST_WORDS).fill_null([])


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
    named = lost.with_columns(title=_name(lost["item_id"]))
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
