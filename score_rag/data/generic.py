"""Your own data as two tables, `interactions` and `items`: CSV, TSV, Parquet or JSON lines, with whatever column names they have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from score_rag.data.catalogue import tidy_items
from score_rag.data.delimited import Dialect, read_delimited_events, read_delimited_text, read_header
from score_rag.data.json_lines import field_names, objects, read_json_events
from score_rag.data.report import DataReport
from score_rag.data.table import EVENT_TYPES, Mistakes, is_plain, parse_events, require_columns, whole_seconds
from score_rag.errors import DataError, InputError, did_you_mean

__all__ = ["read_tables", "table_files"]

_KINDS = ("parquet", "csv", "csv.gz", "tsv", "tsv.gz", "jsonl", "jsonl.gz", "ndjson", "json", "json.gz")
_ITEM_COLUMNS = ("item_id", "title", "year", "genres", "creators", "keywords")


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
                hint=f"name it: --set data.{word}=FILE",
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
    chosen = _choose(events_file, wanted, columns or {}, ("user_id", "item_id"), dialects[0])
    if "label" in chosen and "rating" in chosen:
        chosen.pop("rating")
    events = _events(events_file, chosen, dialects[0], mistakes, report)
    chosen = _choose(items_file, told, item_columns or {}, ("item_id", "title"), dialects[1])
    catalogue = _items(items_file, chosen, dialects[1], mistakes)
    tidy = tidy_items(catalogue, file=items_file, mistakes=mistakes, report=report, list_separator=list_separator)
    mistakes.settle(folder)
    return events, tidy


def _mapping(given: Mapping[str, str], known: tuple[str, ...], where: str) -> dict[str, str]:
    strangers = [name for name in given if name not in known]
    if strangers:
        raise InputError(f"there is no column {strangers[0]!r} of ours to map", where=where, hint=did_you_mean(strangers[0], known))
    return {name: given.get(name, name) for name in known}


def _dialect(file: Path, separator: str | None, encoding: str) -> Dialect:
    usual = Dialect.of(file)
    return Dialect(separator=separator or usual.separator, encoding=encoding)


def _kind(file: Path) -> str:
    name = file.name.removesuffix(".gz")
    return "parquet" if name.endswith(".parquet") else "json" if name.endswith((".jsonl", ".ndjson", ".json")) else "delimited"


def _choose(file: Path, wanted: Mapping[str, str], given: Mapping[str, str], required: tuple[str, ...], dialect: Dialect) -> dict[str, str]:
    """Our names to the file's, of the columns that it has; the required ones and those that were named must be among them."""
    must = {name: wanted[name] for name in wanted if name in required or name in given}
    if _kind(file) == "parquet":
        found = list(_parquet(file).collect_schema())
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
    frame = _collect(file, columns)
    report.rows_read += len(frame)
    whole = {name for name, kind in frame.schema.items() if kind.is_integer()}
    typed = all(frame.schema[name] in (pl.String(), pl.Categorical()) or name in whole for name in frame.columns if name.endswith("_id"))
    plain = all(frame.schema[name].is_numeric() for name in frame.columns if name in ("rating", "label", "timestamp"))
    if typed and plain and ("timestamp" not in frame.columns or "timestamp" in whole):
        ids = [pl.col(name).cast(pl.String()) for name in frame.columns if name in whole and name.endswith("_id")]
        quick = frame.with_columns(ids).with_columns(pl.col(name).cast(EVENT_TYPES[name]) for name in frame.columns)
        decided = dict(report.decisions)
        quick = whole_seconds(quick, report)
        if is_plain(quick):
            return quick
        report.decisions = decided
    return parse_events(_text(frame), file=file, mistakes=mistakes, report=report, called=columns)


def _items(file: Path, columns: dict[str, str], dialect: Dialect, mistakes: Mistakes) -> pl.DataFrame:
    ours = {theirs: name for name, theirs in columns.items()}
    if _kind(file) == "delimited":
        return read_delimited_text(file, list(columns.values()), dialect=dialect).rename(ours).select("_line", *columns)
    if _kind(file) == "json":
        rows = [
            {"_line": line, **{name: _cell(found.get(theirs)) for name, theirs in columns.items()}}
            for line, found in objects(file, mistakes=mistakes)
        ]
        return pl.DataFrame(rows, schema={"_line": pl.Int64(), **dict.fromkeys(columns, pl.String())})
    return _text(_collect(file, columns))


def _cell(value: object) -> str | None:
    """A JSON value as a cell; a list becomes its parts joined by `|`."""
    if value is None or isinstance(value, str):
        return value
    return "|".join(map(str, value)) if isinstance(value, list) else str(value)


def _parquet(file: Path) -> pl.LazyFrame:
    try:
        frame = pl.scan_parquet(file)
        frame.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError("a data file cannot be read", where=file, expected="Parquet", found=str(error).splitlines()[0]) from error
    return frame


def _collect(file: Path, columns: Mapping[str, str]) -> pl.DataFrame:
    try:
        return _parquet(file).select(pl.col(theirs).alias(name) for name, theirs in columns.items()).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError("a data file cannot be read", where=file, expected="Parquet", found=str(error).splitlines()[0]) from error


def _text(frame: pl.DataFrame) -> pl.DataFrame:
    """Every cell as text, lists joined by `|`, and the row's number as its line."""
    lists = [name for name, kind in frame.schema.items() if isinstance(kind, pl.List)]
    frame = frame.with_columns(pl.col(name).cast(pl.List(pl.String())).list.join("|") for name in lists)
    times = [name for name, kind in frame.schema.items() if isinstance(kind, pl.Datetime) and kind.time_zone is not None]
    frame = frame.with_columns(pl.col(name).dt.convert_time_zone("UTC").dt.replace_time_zone(None) for name in times)
    return frame.cast(pl.String()).with_row_index("_line", offset=1)
