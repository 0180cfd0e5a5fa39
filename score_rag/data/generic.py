"""Your own data as two tables, `interactions` and `items`: CSV, TSV, Parquet or JSON lines, with whatever column names they have."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from score_rag.data.catalogue import tidy_items
from score_rag.data.delimited import read_delimited_events, read_delimited_text
from score_rag.data.dialect import Dialect, read_header
from score_rag.data.json_lines import cell_text, field_names, objects, read_json_events
from score_rag.data.mistakes import Mistakes, require_columns, require_rows, shown
from score_rag.data.parquet import collect_parquet, parquet_names, require_kinds
from score_rag.data.report import DataReport
from score_rag.data.table import EVENT_TYPES, is_plain, parse_events, whole_seconds
from score_rag.errors import ChangeSetting, DataError, InputError, did_you_mean

__all__ = ["read_tables", "table_files"]

_KINDS = ("parquet", "csv", "csv.gz", "tsv", "tsv.gz", "jsonl", "jsonl.gz", "ndjson", "json", "json.gz")
_LISTS = ("genres", "creators", "keywords")
_ITEM_COLUMNS = ("item_id", "title", "year", *_LISTS)
_WORDS = pl.List(pl.String())
_DECIMAL = "ids stored as decimals (7.0), read as whole numbers"


def table_files(folder: Path, interactions: str | None = None, items: str | None = None) -> tuple[Path, Path]:
    """(interactions, items): as named, or the first of each kind that is there.

    Raises:
        DataError: A file is missing.
    """
    found = []
    for word, given in (("interactions", interactions), ("items", items)):
        names = [given] if given else [f"{word}.{kind}" for kind in _KINDS]
        there = [folder / name for name in names if (folder / name).is_file()]
        if not there:
            raise DataError(
                f"the {word} file is missing",
                where=folder / given if given else folder,
                expected=given or f"{word}.csv, .tsv, .parquet or .jsonl",
                found=", ".join(sorted(file.name for file in folder.iterdir())[:8]) or "an empty folder",
                hint="name it",
                remedy=ChangeSetting({f"data.{word}": "FILE"}),
            )
        found.append(there[0])
    return found[0], found[1]


def read_tables(
    folder: Path,
    *,
    report: DataReport,
    interactions: str | None = None,
    items: str | None = None,
    columns: Mapping[str, str] | None = None,
    item_columns: Mapping[str, str] | None = None,
    separator: str | None = None,
    encoding: str = "utf-8",
    list_separator: str = "|",
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(events, items).

    Args:
        folder: Where the files are.
        interactions: File name; by default `interactions` with any known ending.
        items: File name; by default `items` with any known ending.
        columns: Our names (user_id, item_id, rating, label, timestamp, split) to the file's, for those that differ. Without rating and
            label every event is a like; without timestamp the rows of a user are in order.
        item_columns: Likewise for item_id, title, year, genres, creators, keywords.
        separator: Of delimited files; by their ending otherwise.
        encoding: Of delimited files.
        list_separator: Between several genres, creators or keywords in one cell.

    Raises:
        InputError: A mapping names a column that we do not know.
        DataError: A file or column is missing, or rows are malformed.
    """
    events_file, items_file = table_files(folder, interactions, items)
    mistakes = Mistakes()
    wanted = _mapping(columns or {}, tuple(EVENT_TYPES), "data.columns")
    told = _mapping(item_columns or {}, _ITEM_COLUMNS, "data.item_columns")
    dialects = [_dialect(file, separator, encoding) for file in (events_file, items_file)]
    if not list_separator:
        raise InputError("nothing cannot separate a list", where="data.list_separator", expected="one or more signs")
    chosen = _choose(events_file, wanted, columns or {}, ("user_id", "item_id"), dialects[0])
    if "label" in chosen and "rating" in chosen:
        chosen.pop("rating")
    events = _events(events_file, chosen, dialects[0], mistakes, report)
    chosen = _choose(items_file, told, item_columns or {}, ("item_id", "title"), dialects[1])
    catalogue = _items(items_file, chosen, dialects[1], mistakes, report, list_separator)
    tidy = tidy_items(catalogue, file=items_file, mistakes=mistakes, report=report, list_separator=list_separator)
    mistakes.settle(folder)
    require_rows(events, where=events_file)
    return events, tidy


def _mapping(given: Mapping[str, str], known: tuple[str, ...], where: str) -> dict[str, str]:
    strangers = [name for name in given if name not in known]
    if strangers:
        raise InputError(f"there is no column {strangers[0]!r} of ours to map", where=where, hint=did_you_mean(strangers[0], known))
    theirs = list(given.values())
    shared = sorted({name for name in theirs if theirs.count(name) > 1})
    if shared:
        raise InputError(f"one column cannot be two of ours: {', '.join(shared)}", where=where, expected="each column of the file once")
    # A column that was given one meaning loses the one that its name has.
    return {name: given.get(name, name) for name in known if name in given or name not in theirs}


def _dialect(file: Path, separator: str | None, encoding: str) -> Dialect:
    usual = Dialect.of(file)
    if separator is not None and (not separator or set(separator) & set('"\r\n\0')):
        raise InputError(
            "this cannot separate cells", where="data.separator", expected='a comma, "\\t", "::" or the like', found=repr(separator)
        )
    try:
        known = codecs.lookup(encoding)
    except LookupError:
        raise InputError(
            "there is no such encoding", where="data.encoding", expected="utf-8, latin-1, cp1252, ...", found=encoding
        ) from None
    return Dialect(separator=separator or usual.separator, encoding="utf-8" if known.name in ("utf-8", "utf-8-sig") else known.name)


def _kind(file: Path) -> str:
    name = file.name.removesuffix(".gz")
    return "parquet" if name.endswith(".parquet") else "json" if name.endswith((".jsonl", ".ndjson", ".json")) else "delimited"


def _choose(file: Path, wanted: Mapping[str, str], given: Mapping[str, str], required: tuple[str, ...], dialect: Dialect) -> dict[str, str]:
    """Our names to the file's, of the columns that it has; the required ones and those that were named must be among them."""
    must = {name: wanted[name] for name in wanted if name in required or name in given}
    if _kind(file) == "parquet":
        found = parquet_names(file)
        require_columns(found, must, file=file)
    elif _kind(file) == "json":
        found = field_names(file)
        require_columns(found, must, file=file)
    else:
        found = read_header(file, must, dialect=dialect)
    return {name: theirs for name, theirs in wanted.items() if theirs in found}


def _events(file: Path, columns: dict[str, str], dialect: Dialect, mistakes: Mistakes, report: DataReport) -> pl.DataFrame:
    if _kind(file) == "delimited":
        return read_delimited_events(file, columns, mistakes=mistakes, report=report, dialect=dialect)
    if _kind(file) == "json":
        return read_json_events(file, columns, mistakes=mistakes, report=report)
    frame = collect_parquet(file, columns)
    require_kinds(frame, file, columns, lists=())
    report.rows_read += len(frame)
    quick = _typed(frame)
    seconds = whole_seconds(quick, report) if quick is not None and is_plain(quick) else None
    if seconds is None:
        return parse_events(_text(frame, report), file=file, mistakes=mistakes, report=report, called=columns)
    for name, what in (("timestamp", "times read as dates"), ("user_id", _DECIMAL), ("item_id", _DECIMAL)):
        kind = frame.schema.get(name)
        report.decide(what, len(frame) if kind is not None and (kind.is_temporal() or (what == _DECIMAL and kind.is_float())) else 0)
    return seconds


def _typed(frame: pl.DataFrame) -> pl.DataFrame | None:
    """A Parquet file's events with their types; None where some column needs more care than a cast."""
    out = []
    for name, kind in frame.schema.items():
        cells = pl.col(name)
        if EVENT_TYPES[name] == pl.Categorical():
            whole = kind.is_float() and bool(((frame[name] == frame[name].floor()) & (frame[name].abs() < 2**53)).all())
            if not (kind.is_integer() or whole or kind in (pl.String, pl.Categorical, pl.Enum)):
                return None
            out.append((cells.cast(pl.Int64) if whole else cells).cast(pl.String()).cast(pl.Categorical()))
        elif name == "timestamp" and kind.is_temporal():
            # Without a zone, it is UTC.
            out.append(cells.cast(pl.Datetime("us")).dt.epoch("s") if kind == pl.Date else cells.dt.epoch("s"))
        elif (name == "timestamp" and not kind.is_integer()) or not (kind.is_numeric() or kind == pl.Boolean()):
            return None
        else:
            out.append(cells.cast(EVENT_TYPES[name], strict=False))
    return frame.select(out)


def _items(file: Path, columns: dict[str, str], dialect: Dialect, mistakes: Mistakes, report: DataReport, separator: str) -> pl.DataFrame:
    if _kind(file) == "delimited":
        text = read_delimited_text(file, list(columns.values()), mistakes=mistakes, dialect=dialect)
        return text.select("_line", **{name: pl.col(theirs) for name, theirs in columns.items()})
    if _kind(file) == "parquet":
        frame = collect_parquet(file, columns)
        require_kinds(frame, file, columns, lists=_LISTS)
        return _text(frame, report)
    rows = []
    for line, found in objects(file, mistakes=mistakes):
        row: dict[str, object] = {"_line": line}
        for name, theirs in columns.items():
            cell = found.get(theirs)
            if name in _LISTS:
                row[name] = (
                    [text for text in map(cell_text, cell) if text] if isinstance(cell, list) else (cell_text(cell) or "").split(separator)
                )
            elif isinstance(cell, list | dict):
                mistakes.note(file.name, line, f"{theirs}: expected text, found {shown(cell_text(cell))}")
            else:
                row[name] = cell_text(cell)
        rows.append(row)
    return pl.DataFrame(rows, schema={"_line": pl.Int64(), **{name: _WORDS if name in _LISTS else pl.String() for name in columns}})


def _text(frame: pl.DataFrame, report: DataReport) -> pl.DataFrame:
    """Every cell as text, lists as lists of text, and the row's number as its line; ids stored as decimals (1.0) are whole numbers."""
    for name in {"user_id", "item_id"} & set(frame.columns):
        told = frame[name].drop_nulls()
        if told.dtype.is_float() and len(told) and bool(((told == told.floor()) & (told.abs() < 2**53)).all()):
            report.decide(_DECIMAL, len(told))
            frame = frame.with_columns(pl.col(name).cast(pl.Int64))
    lists = [name for name, kind in frame.schema.items() if isinstance(kind, pl.List | pl.Array)]
    times = [name for name, kind in frame.schema.items() if isinstance(kind, pl.Datetime) and kind.time_zone is not None]
    frame = frame.with_columns(pl.col(name).dt.convert_time_zone("UTC").dt.replace_time_zone(None) for name in times)
    return frame.cast({name: _WORDS if name in lists else pl.String() for name in frame.columns}).with_row_index("_line", offset=1)
