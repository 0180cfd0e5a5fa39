"""Delimited text (CSV, TSV and their kin): quick where a file is plain, careful where it is not, exact about lines where it is wrong."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import polars as pl

from score_rag.data.report import DataReport
from score_rag.data.table import EVENT_TYPES, Mistakes, is_plain, parse_events, require_columns, whole_seconds
from score_rag.errors import DataError

__all__ = ["Dialect", "read_delimited_events", "read_delimited_text", "read_header"]

_LONGEST_CELL = 10_000_000
_SHOWN_BYTES = 30
_MISSING = "say where the data is: --set data.path=FOLDER"


@dataclass(frozen=True)
class Dialect:
    """How a file is written.

    Attributes:
        separator: Between cells; `::` (MovieLens 1M) is understood.
        quoted: Whether cells may stand in double quotes.
        encoding: `utf-8` or `latin-1`.
        header: Column names, where the file has no line of its own for them.
    """

    separator: str = ","
    quoted: bool = True
    encoding: str = "utf-8"
    header: tuple[str, ...] | None = None

    @classmethod
    def of(cls, file: Path) -> Dialect:
        """By the file's name: tabs for `.tsv`, `.inter`, `.item`, `.user`; commas for the rest."""
        tabbed = file.name.removesuffix(".gz").endswith((".tsv", ".tab", ".inter", ".item", ".user"))
        return cls(separator="\t") if tabbed else cls()


def read_delimited_events(
    file: Path, columns: Mapping[str, str], *, mistakes: Mistakes, report: DataReport, dialect: Dialect | None = None
) -> pl.DataFrame:
    """The events of a file.

    Args:
        file: Plain or gzipped (`.gz`).
        columns: Our names (those of `EVENT_TYPES`) to the file's; all must be there.
        mistakes: Takes malformed cells; the caller settles.
        report: Takes the number of rows read, and decisions.

    Returns:
        The columns, rows in the file's order or (where that was quicker) in order of time, those of one time in the file's order.

    Raises:
        DataError: The file is missing, empty, in another encoding, torn, or lacks columns; or lines have too many cells (all named).
    """
    dialect = dialect or Dialect.of(file)
    read_header(file, columns, dialect=dialect)
    theirs = {name: EVENT_TYPES[ours] for ours, name in columns.items()}
    ours = {name: word for word, name in columns.items()}
    decided = dict(report.decisions)
    try:
        quick = _read(file, dialect, theirs, sort=columns.get("timestamp")).rename(ours)
        rows = len(quick)
        quick = whole_seconds(quick, report)
        if is_plain(quick):
            report.rows_read += rows
            return quick
    except (pl.exceptions.PolarsError, OSError, EOFError, zlib.error):
        # Whatever the quick reading stumbled over, the careful one names.
        pass
    report.decisions = decided
    text = read_delimited_text(file, list(columns.values()), dialect=dialect).rename(ours)
    report.rows_read += len(text)
    return parse_events(text, file=file, mistakes=mistakes, report=report, called=columns)


def read_delimited_text(file: Path, required: Sequence[str], *, dialect: Dialect | None = None) -> pl.DataFrame:
    """Every cell as text, and `_line`: its line in the file (the first, where a quoted cell spans several).

    Raises:
        DataError: As `read_delimited_events`.
    """
    dialect = dialect or Dialect.of(file)
    read_header(file, {name: name for name in required}, dialect=dialect)
    try:
        frame = _read(file, dialect, None)
    except (pl.exceptions.PolarsError, OSError, EOFError, zlib.error) as error:
        _diagnose(file, dialect)
        raise DataError("a data file cannot be read", where=file, found=str(error).splitlines()[0]) from error
    breaks = [pl.col(name).str.count_matches("\n").fill_null(0) for name in frame.columns]
    first = 1 if dialect.header else 2
    before = pl.sum_horizontal(breaks).cum_sum().shift(1, fill_value=0)
    return frame.with_columns(_line=pl.int_range(pl.len(), dtype=pl.Int64) + first + before)


def _read(file: Path, dialect: Dialect, types: Mapping[str, pl.DataType] | None, *, sort: str | None = None) -> pl.DataFrame:
    """Columns with their types, sorted by one of them (which costs little while reading); or all columns, as text."""
    source: Any = file
    if dialect.encoding != "utf-8" or len(dialect.separator) > 1:
        # Small files only (MovieLens 100K and 1M): whole in memory, in a form that the reader knows.
        text = (
            file.read_bytes().decode(dialect.encoding).replace(dialect.separator, "\t" if len(dialect.separator) > 1 else dialect.separator)
        )
        source = io.BytesIO(text.encode("utf-8"))
    separator = "\t" if len(dialect.separator) > 1 else dialect.separator
    shared: dict[str, Any] = {"separator": separator, "quote_char": '"' if dialect.quoted else None, "has_header": dialect.header is None}
    if dialect.header:
        shared["new_columns"] = list(dialect.header)
    if types is None:
        return pl.scan_csv(source, infer_schema=False, **shared).collect(engine="streaming")
    lazy = pl.scan_csv(source, schema_overrides=types, **shared).select(list(types))
    return (lazy if sort is None else lazy.sort(sort, maintain_order=True)).collect(engine="streaming")


def read_header(file: Path, columns: Mapping[str, str], *, dialect: Dialect | None = None) -> list[str]:
    """A file's column names.

    Args:
        columns: Those that must be there, by their names in the file (the values).

    Raises:
        DataError: The file is missing or empty, or lacks columns, or has some twice.
    """
    dialect = dialect or Dialect.of(file)
    if not file.is_file():
        raise DataError("a data file is missing", where=file, hint=_MISSING)
    if dialect.header:
        return list(dialect.header)
    with _opened(file, dialect) as stream:
        first = stream.readline()
    if not first.strip():
        raise DataError("a data file is empty", where=file, expected="a header line")
    names = next(csv.reader([first], delimiter=dialect.separator, quoting=_quoting(dialect)))
    require_columns(names, columns, file=file, hint=_other_separator(first.strip(), dialect, columns))
    return names


def _quoting(dialect: Dialect) -> Literal[0, 3]:
    return csv.QUOTE_MINIMAL if dialect.quoted else csv.QUOTE_NONE


def _other_separator(first: str, dialect: Dialect, columns: Mapping[str, str]) -> str | None:
    """A hint where another separator would have found the columns in the first line."""
    for name, other in (("semicolons", ";"), ("tabs", "\t"), ("commas", ","), ("bars", "|")):
        if other != dialect.separator and set(columns.values()) <= {cell.strip('" ') for cell in first.split(other)}:
            return f"its cells are separated by {name}: --set 'data.separator=\"{other if other != chr(9) else chr(92) + 't'}\"'"
    return None


@contextmanager
def _opened(file: Path, dialect: Dialect) -> Iterator[IO[str]]:
    """The file as text; a byte-order mark is skipped, bytes of another encoding come as lone surrogates."""
    encoding = "utf-8-sig" if dialect.encoding == "utf-8" else dialect.encoding
    try:
        if file.name.endswith(".gz"):
            with gzip.open(file, "rt", encoding=encoding, errors="surrogateescape", newline="") as stream:
                yield stream
        else:
            with file.open(encoding=encoding, errors="surrogateescape", newline="") as stream:
                yield stream
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            "a gzipped file is torn or is none", where=file, found=str(error), hint="download it again; nothing was written"
        ) from error


def _diagnose(file: Path, dialect: Dialect) -> None:
    """Name the lines that keep a file from being read: in another encoding, or with too many cells.

    Raises:
        DataError: Lists them.
    """
    mistakes = Mistakes()
    csv.field_size_limit(_LONGEST_CELL)
    with _opened(file, dialect) as stream:
        separator = dialect.separator if len(dialect.separator) == 1 else "\t"
        rows = csv.reader(stream, delimiter=separator, quoting=_quoting(dialect), strict=True)
        width = len(dialect.header) if dialect.header else None
        try:
            for row in rows:
                strange = next((cell for cell in row if any("\udc80" <= sign <= "\udcff" for sign in cell)), None)
                if strange is not None:
                    shown = strange.encode("utf-8", "surrogateescape")[:_SHOWN_BYTES]
                    mistakes.note(f"{file.name}, line {rows.line_num}: expected UTF-8, found {shown!r}")
                width = len(row) if width is None else width
                if len(row) > width and len(dialect.separator) == 1:
                    mistakes.note(f"{file.name}, line {rows.line_num}: expected {width} cells, found {len(row)}")
        except csv.Error as error:
            mistakes.note(f"{file.name}, line {rows.line_num}: expected quotes that close, found: {error}")
    mistakes.settle(file)
