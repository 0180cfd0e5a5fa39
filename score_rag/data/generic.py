"""Your own data as two tables, `interactions` and `items`: CSV, TSV, Parquet or JSON, with whatever column names they have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from score_rag.data.catalogue import tidy_items
from score_rag.data.choices import ITEM_NAMES
from score_rag.data.delimited import read_delimited_events, read_delimited_text
from score_rag.data.dialect import Dialect, first_line, read_header
from score_rag.data.forms import Forms
from score_rag.data.guess import Word, Writing, dialect_of, either_way
from score_rag.data.json_lines import field_names, read_json_events
from score_rag.data.mistakes import Mistakes, require_columns, require_rows, shown
from score_rag.data.parquet import parquet_names
from score_rag.data.report import DataReport
from score_rag.data.table import EVENT_TYPES, parse_events
from score_rag.data.table_events import parquet_events
from score_rag.data.table_files import table_files
from score_rag.data.table_items import json_items, parquet_items
from score_rag.data.unroll import unroll
from score_rag.data.whole_ids import whole_ids
from score_rag.errors import ChangeSetting, DataError, InputError, did_you_mean

__all__ = ["read_tables"]

_LOST = (
    "there is no catalogue: items are called by their ids, so that documents and prompts say nothing of what they are, and titles, "
    "years and genres help no model (data.items names a file, data.item_columns columns of the events' file)"
)


def read_tables(
    folder: Path,
    *,
    report: DataReport,
    interactions: str | None = None,
    items: str | None = None,
    columns: Mapping[str, str] | None = None,
    item_columns: Mapping[str, str] | None = None,
    separator: str | Mapping[str, str] | None = None,
    encoding: str | Mapping[str, str] = "utf-8",
    quote: str | Mapping[str, str] | None = None,
    header: bool | Mapping[str, bool] = True,
    list_separator: str | Mapping[str, str] | None = None,
    time_format: str | None = None,
    time_zone: str = "UTC",
    decimal: str = ".",
    labels: Mapping[str, int] | None = None,
    list_column: str | None = None,
    strict: bool = False,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(events, items).

    Args:
        folder: Where the files are.
        interactions: File name; by default `interactions` with any known ending.
        items: File name; by default `items` with any known ending.
        columns: Our names (user_id, item_id, rating, label, timestamp, split) to the file's, for those that differ. Without rating and
            label every event is a like; without timestamp the rows of a user are in order.
        item_columns: Likewise for item_id, title, year, genres, creators, keywords.
        separator: Of delimited files, or of each; by their ending and first line otherwise.
        encoding: Of delimited files, or of each.
        quote: Of delimited files, or of each: `none`, or the sign around cells.
        header: Whether the first line of delimited files, or of each, names the columns; without, they are called 1, 2, ...
        list_separator: Between several genres, creators or keywords in one cell, or of each column; None looks at the cells.
        time_format: A form of strptime, a unit, or `date-number`; None looks at the cells.
        time_zone: Of times that name none.
        decimal: Before the fraction of ratings, `.` or `,`.
        labels: Which words in the column of labels mean 1, and which 0.
        list_column: The column whose cells hold several items each, `N1-1 N2-0` or `N1 N2`; in place of item_id and label.
        strict: Refuse attributes of items that cannot be understood, instead of leaving them unknown.

    Raises:
        InputError: A mapping names a column that we do not know.
        DataError: A file or column is missing, or rows are malformed.
    """
    events_file, items_file = table_files(folder, interactions, items)
    mistakes, writing = Mistakes(), Writing(separator, encoding, quote, header)
    forms = Forms(time_format, time_zone, dict(labels or {}), decimal)
    wanted = _mapping(columns or {}, tuple(EVENT_TYPES), "data.columns")
    told = _mapping(item_columns or {}, ITEM_NAMES, "data.item_columns", ("item_id", "title"))
    if list_separator is not None and not all(list_separator.values() if isinstance(list_separator, Mapping) else [list_separator]):
        raise InputError("nothing cannot separate a list", where="data.list_separator", expected="one or more signs")
    if list_column:
        events = _events_in_lists(events_file, wanted, columns or {}, list_column, writing, forms, mistakes, report)
    else:
        chosen, dialect = _choose(events_file, "interactions", wanted, columns or {}, ("user_id", "item_id"), writing, report)
        if "label" in chosen and "rating" in chosen:
            chosen.pop("rating")
        events = _events(events_file, chosen, dialect, writing, forms, mistakes, report)
    called: dict[str, str] = {}
    if items_file is None and not _told_beside(events_file, told, item_columns or {}, writing):
        report.warn(_LOST)
        ids = events["item_id"].unique(maintain_order=True).cast(pl.String()).drop_nulls()
        catalogue = pl.DataFrame({"item_id": ids, "title": ids}).with_row_index("_line", offset=1)
    else:
        if items_file is None:
            told = {**told, "item_id": (item_columns or {}).get("item_id", wanted["item_id"])}
            report.say(f"{events_file.name} holds events and items")
        file = items_file or events_file
        word: Word = "items" if items_file else "interactions"
        called, dialect = _choose(file, word, told, item_columns or {}, ("item_id", "title"), writing, report)
        catalogue = _items(file, called, dialect, writing, mistakes, report, strict)
    events, catalogue = whole_ids(events, catalogue, report)
    tidy = tidy_items(
        catalogue,
        file=items_file or events_file,
        mistakes=mistakes,
        report=report,
        list_separator=list_separator,
        called=called,
        strict=strict,
    )
    mistakes.settle(folder)
    require_rows(events, where=events_file)
    return events, tidy


def _told_beside(file: Path, told: Mapping[str, str], given: Mapping[str, str], writing: Writing) -> bool:
    """Whether the events' file tells of items too: it has a column of titles, or the user named some."""
    if given:
        return True
    if _kind(file) == "parquet":
        return told["title"] in parquet_names(file)
    if _kind(file) == "json":
        return told["title"] in field_names(file)
    return told["title"] in read_header(file, {}, dialect=dialect_of(file, "interactions", writing, [], DataReport("")))


def _mapping(given: Mapping[str, str], known: tuple[str, ...], where: str, together: tuple[str, ...] = ()) -> dict[str, str]:
    strangers = [name for name in given if name not in known]
    if strangers:
        raise InputError(f"there is no column {strangers[0]!r} of ours to map", where=where, hint=did_you_mean(strangers[0], known))
    theirs = [column for name, column in given.items() if name not in together]
    theirs += {given[name] for name in together if name in given}
    shared = sorted({name for name in theirs if theirs.count(name) > 1})
    if shared:
        raise InputError(f"one column cannot be two of ours: {', '.join(shared)}", where=where, expected="each column of the file once")
    # A column that was given one meaning loses the one that its name has.
    return {name: given.get(name, name) for name in known if name in given or name not in theirs}


def _kind(file: Path) -> str:
    name = file.name.removesuffix(".gz")
    return "parquet" if name.endswith(".parquet") else "json" if name.endswith((".jsonl", ".ndjson", ".json")) else "delimited"


def _choose(
    file: Path,
    word: Word,
    wanted: Mapping[str, str],
    given: Mapping[str, str],
    required: tuple[str, ...],
    writing: Writing,
    report: DataReport,
) -> tuple[dict[str, str], Dialect]:
    """Our names to the file's, of its columns, among which must be the required ones and those that were named; how it is written."""
    must = {name: wanted[name] for name in wanted if name in required or name in given}
    if _kind(file) != "delimited":
        found = parquet_names(file) if _kind(file) == "parquet" else field_names(file)
        require_columns(found, must, file=file)
        return {name: theirs for name, theirs in wanted.items() if theirs in found}, Dialect()
    dialect = dialect_of(file, word, writing, list(must.values()), report)
    found = read_header(file, must, dialect=dialect)
    if dialect.header and not set(must.values()) <= set(found):
        setting = "data.columns" if word == "interactions" else "data.item_columns"
        cells = first_line(file, dialect).rstrip("\r\n").split(dialect.separator)
        raise DataError(
            "a file without a header does not say which column is which",
            where=file,
            expected=f"the numbers of {', '.join(must)} in {setting}, the first column being 1",
            found=", ".join(f"{place} {shown(cell)}" for place, cell in enumerate(cells[:12], start=1)),
            remedy=ChangeSetting({f"{setting}.{name}": place for place, name in enumerate(required, start=1)}),
        )
    return {name: theirs for name, theirs in wanted.items() if theirs in found}, dialect


def _events(
    file: Path, columns: dict[str, str], dialect: Dialect, writing: Writing, forms: Forms, mistakes: Mistakes, report: DataReport
) -> pl.DataFrame:
    if _kind(file) == "parquet":
        return parquet_events(file, columns, mistakes, report, forms)
    if _kind(file) == "json":
        return read_json_events(file, columns, mistakes=mistakes, report=report, forms=forms)

    def read(dialect: Dialect, mistakes: Mistakes, report: DataReport) -> pl.DataFrame:
        return read_delimited_events(file, columns, mistakes=mistakes, report=report, dialect=dialect, forms=forms)

    return either_way(file, "interactions", dialect, writing, read, mistakes=mistakes, report=report)


def _events_in_lists(
    file: Path,
    wanted: Mapping[str, str],
    given: Mapping[str, str],
    list_column: str,
    writing: Writing,
    forms: Forms,
    mistakes: Mistakes,
    report: DataReport,
) -> pl.DataFrame:
    """Events of a delimited file whose rows hold several items each (MIND's impressions)."""
    if _kind(file) != "delimited":
        raise InputError("lists of items in one cell are read from delimited files", where="data.list_column", found=file.name)
    asked = {name: theirs for name, theirs in wanted.items() if name not in ("label", "rating")} | {"item_id": list_column}
    own = {name: theirs for name, theirs in given.items() if name in asked} | {"item_id": list_column}
    chosen, dialect = _choose(file, "interactions", asked, own, ("user_id", "item_id"), writing, report)

    def read(dialect: Dialect, mistakes: Mistakes, report: DataReport) -> pl.DataFrame:
        text = read_delimited_text(file, list(chosen.values()), mistakes=mistakes, dialect=dialect)
        cells = text.select("_line", **{name: pl.col(theirs) for name, theirs in chosen.items()})
        unrolled = unroll(cells, report)
        report.rows_read += len(unrolled)
        return parse_events(unrolled, file=file, mistakes=mistakes, report=report, called=chosen, forms=forms)

    return either_way(file, "interactions", dialect, writing, read, mistakes=mistakes, report=report)


def _items(
    file: Path, columns: dict[str, str], dialect: Dialect, writing: Writing, mistakes: Mistakes, report: DataReport, strict: bool
) -> pl.DataFrame:
    if _kind(file) == "parquet":
        return parquet_items(file, columns, report, strict=strict)
    if _kind(file) == "json":
        return json_items(file, columns, mistakes, report, strict=strict)

    def read(dialect: Dialect, mistakes: Mistakes, report: DataReport) -> pl.DataFrame:
        text = read_delimited_text(file, list(columns.values()), mistakes=mistakes, dialect=dialect)
        return text.select("_line", **{name: pl.col(theirs) for name, theirs in columns.items()})

    return either_way(file, "items", dialect, writing, read, mistakes=mistakes, report=report)
