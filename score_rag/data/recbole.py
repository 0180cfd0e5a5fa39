"""RecBole's atomic files: `.inter`, one event a row or one sequence a row, and `.item`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import polars as pl

from score_rag.data.catalogue import tidy_items
from score_rag.data.delimited import read_delimited_events, read_delimited_text
from score_rag.data.dialect import SEPARATORS, Dialect, read_header
from score_rag.data.folders import not_here
from score_rag.data.forms import Forms
from score_rag.data.guess import Word, for_file
from score_rag.data.mistakes import Mistakes, require_rows, shown
from score_rag.data.report import DataReport
from score_rag.data.whole_ids import whole_ids
from score_rag.errors import ChangeSetting, DataError

__all__ = ["read_recbole", "recbole_files"]

_TABS = Dialect(separator="\t", quote=None)
_TITLES = ("title", "name")
_GENRES = ("genre", "genres", "class", "categories", "category")
_CREATORS = ("brand", "director", "artist", "author", "store")
_YEARS = ("release_year", "year")


def recbole_files(folder: Path, interactions: str | None = None, items: str | None = None) -> tuple[list[Path], Path]:
    """(interaction files, item file): as named, or all `.inter` and the only `.item` of a folder.

    Raises:
        DataError: They are not there, or there are several item files.
    """
    inter = [folder / interactions] if interactions else sorted(folder.glob("*.inter"))
    item = [folder / items] if items else sorted(folder.glob("*.item"))
    if not inter or len(item) != 1 or not all(file.is_file() for file in (*inter, *item)):
        remedy = ChangeSetting({"data.interactions": "FILE", "data.items": "FILE"})
        expected = "NAME.inter (or NAME.train.inter, ...) and one NAME.item"
        raise not_here("this folder holds no RecBole data", folder, expected, folder=folder, hint="name them", remedy=remedy)
    return inter, item[0]


def listed_files(folder: Path, interactions: str | None = None, items: str | None = None) -> list[Path]:
    """`recbole_files`, in one list."""
    several, one = recbole_files(folder, interactions, items)
    return [*several, one]


def read_recbole(
    folder: Path,
    *,
    report: DataReport,
    interactions: str | None = None,
    items: str | None = None,
    separator: str | Mapping[str, str] | None = None,
    time_format: str | None = None,
    time_zone: str = "UTC",
    strict: bool = False,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(events, items). A sequence (`item_id_list`, then `item_id`) is unrolled into one event an item, in order and without times.

    Where several sequence files tell of a user (RecBole's train, valid and test are cut from one another), the longest sequence is used.

    Raises:
        DataError: A file is missing or malformed.
    """
    inter, item = recbole_files(folder, interactions, items)
    mistakes = Mistakes()
    dialect = _dialect(separator, "interactions")
    names = [_plain_names(file, dialect) for file in inter]
    if all("item_id_list" in found for found in names):
        events = _sequences(inter, names, dialect, mistakes, report)
    elif not any("item_id_list" in found for found in names):
        events = _rows(inter, names, dialect, Forms(time_format, time_zone), mistakes, report)
    else:
        raise DataError(
            "these files are of two forms", where=folder, expected="all with item_id_list, or none", found=", ".join(f.name for f in inter)
        )
    found, called = _items(item, _dialect(separator, "items"), mistakes)
    events, found = whole_ids(events, found, report)
    catalogue = tidy_items(found, file=item, mistakes=mistakes, report=report, list_separator=" ", called=called, strict=strict)
    mistakes.settle(folder)
    require_rows(events, where=folder)
    return events, catalogue


def _dialect(separator: str | Mapping[str, str] | None, word: Word) -> Dialect:
    return replace(_TABS, separator=for_file(separator, word, None) or _TABS.separator)


def _plain_names(file: Path, dialect: Dialect) -> dict[str, str]:
    """Field to its column: `user_id` to `user_id:token`."""
    found = read_header(file, {}, dialect=dialect)
    if len(found) == 1:
        name = next((name for name, sign in SEPARATORS.items() if sign in found[0] and sign != dialect.separator), None)
        raise DataError(
            "a data file has one column only",
            where=file,
            expected="columns separated by " + ("tabs" if dialect.separator == "\t" else repr(dialect.separator)),
            found=shown(found[0]),
            remedy=ChangeSetting({"data.separator": SEPARATORS[name]}) if name else None,
        )
    return {name.split(":")[0]: name for name in found}


def _rows(
    files: list[Path], names: list[dict[str, str]], dialect: Dialect, forms: Forms, mistakes: Mistakes, report: DataReport
) -> pl.DataFrame:
    parts = []
    for file, found in zip(files, names, strict=True):
        wanted = {ours: ours for ours in ("user_id", "item_id")} | {
            ours: ours for ours in ("rating", "label", "timestamp") if ours in found
        }
        if "label" in wanted:
            wanted.pop("rating", None)
        columns = {ours: found.get(theirs, f"{theirs}:token") for ours, theirs in wanted.items()}
        read_header(file, columns, dialect=dialect)
        parts.append(read_delimited_events(file, columns, mistakes=mistakes, report=report, dialect=dialect, forms=forms))
    told = {file.name: set(part.columns) for file, part in zip(files, parts, strict=True)}
    if len(set(map(frozenset, told.values()))) > 1:
        said = "; ".join(f"{name}: {', '.join(sorted(columns))}" for name, columns in told.items())
        raise DataError("these files have different columns", where=files[0].parent, expected="the same columns in all", found=said)
    return pl.concat(parts)


def _sequences(files: list[Path], names: list[dict[str, str]], dialect: Dialect, mistakes: Mistakes, report: DataReport) -> pl.DataFrame:
    parts = []
    for file, found in zip(files, names, strict=True):
        columns = {"user_id": found.get("user_id", "user_id:token"), "item_id": found.get("item_id", "item_id:token")}
        text = read_delimited_text(file, [*columns.values(), found["item_id_list"]], mistakes=mistakes, dialect=dialect)
        whole = pl.concat_str(pl.col(found["item_id_list"]).fill_null(""), pl.col(columns["item_id"]).fill_null(""), separator=" ")
        tokens = whole.str.split(" ").list.eval(pl.element().filter(pl.element() != ""))
        blank = text.select(pl.all_horizontal(pl.col(name).is_null() for name in found.values())).to_series()
        report.decide("empty lines", int(blank.sum()))
        text = text.filter(~blank)
        for ours, theirs in columns.items():
            mistakes.add(text, text[theirs].fill_null("").str.strip_chars() == "", theirs, file=file, expected=f"an id ({ours})")
        parts.append(text.select("_line", file=pl.lit(file.name), user_id=pl.col(columns["user_id"]).str.strip_chars(), item_id=tokens))
    rows = pl.concat(parts).with_columns(length=pl.col("item_id").list.len(), row=pl.int_range(pl.len(), dtype=pl.Int64))
    kept = rows.sort("length", descending=True, maintain_order=True).unique("user_id", keep="first", maintain_order=True).sort("row")
    _require_parts(rows, kept, mistakes)
    report.decide("sequences unrolled into events (the longest of each user)", len(kept))
    report.decide("shorter sequences of the same user, all within the longest, not counted again", len(rows) - len(kept))
    events = kept.select("user_id", "item_id").explode("item_id").cast({"user_id": pl.Categorical(), "item_id": pl.Categorical()})
    report.rows_read += len(events)
    return events


def _require_parts(rows: pl.DataFrame, kept: pl.DataFrame, mistakes: Mistakes) -> None:
    """A sequence that is not used must lie within the one of its user that is; otherwise events would be lost."""
    spaced = pl.lit(" ") + pl.col("item_id").list.join(" ") + " "
    longest = kept.select("user_id", longest=spaced)
    told = rows.join(kept.select("row"), on="row", how="anti").join(longest, on="user_id", maintain_order="left")
    for name, line in told.filter(~pl.col("longest").str.contains(spaced, literal=True)).select("file", "_line").iter_rows():
        mistakes.note(name, line, "expected a part of the user's longest sequence, found another one")


def _items(file: Path, dialect: Dialect, mistakes: Mistakes) -> tuple[pl.DataFrame, dict[str, str]]:
    """The items as text, and our names of their columns to the file's."""
    found = _plain_names(file, dialect)
    title = next((column for name, column in found.items() if name.rpartition("_")[2] in _TITLES), None)
    if title is None:
        raise DataError("the item file has no titles", where=file, expected="a column title or name", found=", ".join(found.values()))
    text = read_delimited_text(file, [found.get("item_id", "item_id:token"), title], mistakes=mistakes, dialect=dialect)
    columns = {"item_id": found["item_id"], "title": title}
    for ours, theirs in (("year", _YEARS), ("genres", _GENRES), ("creators", _CREATORS)):
        column = next((found[name] for name in theirs if name in found), None)
        if column is not None:
            columns[ours] = column
    out = text.select("_line", **{ours: pl.col(theirs) for ours, theirs in columns.items()})
    if "creators" in columns:
        # A maker's name may hold spaces, which separate a sequence's tokens: it is taken whole.
        out = out.with_columns(creators=pl.concat_list(pl.col("creators")).list.drop_nulls())
    return out, columns
