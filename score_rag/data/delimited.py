"""Delimited text (CSV, TSV and their kin): quick where a file is plain, careful where it is not, exact about lines where it is wrong."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

import polars as pl

from score_rag.data.dialect import LONGEST_CELL, STAND_IN, Dialect, open_text, quoting, read_header
from score_rag.data.forms import Forms
from score_rag.data.mistakes import Mistakes
from score_rag.data.report import DataReport
from score_rag.data.table import EVENT_TYPES, is_plain, parse_events
from score_rag.data.times import whole_seconds

__all__ = ["read_delimited_events", "read_delimited_text"]

_CHUNK = 1 << 22
_SHOWN_BYTES = 30
_QUICK_ERRORS = (pl.exceptions.PolarsError, OSError, EOFError, zlib.error, UnicodeError)


def read_delimited_events(
    file: Path,
    columns: Mapping[str, str],
    *,
    mistakes: Mistakes,
    report: DataReport,
    dialect: Dialect | None = None,
    forms: Forms | None = None,
) -> pl.DataFrame:
    """The events of a file.

    Args:
        file: Plain or gzipped (`.gz`).
        columns: Our names (those of `EVENT_TYPES`) to the file's; all must be there.
        mistakes: Takes malformed cells and rows; the caller settles.
        report: Takes the number of rows read, and decisions.
        dialect: How the file is written; by its name otherwise.
        forms: How its cells say times, labels and numbers.

    Returns:
        The columns, rows in the file's order or (where that was quicker) in order of time, those of one time in the file's order.

    Raises:
        DataError: The file is missing, empty, torn or no text, or lacks columns.
    """
    dialect, forms = dialect or Dialect.of(file), forms or Forms()
    names = read_header(file, columns, dialect=dialect)
    ours = {name: word for word, name in columns.items()}
    text = None
    try:
        source: Any = file if dialect.plain else io.BytesIO(_whole(file, dialect))
        quotes, odd = _marks(source, dialect)
        if not (quotes and (not dialect.plain or _loose_quotes(source, dialect))):
            if forms.quick(columns):
                quick = _typed(source, names, columns, dialect, quotes).rename(ours)
                plain, name = is_plain(quick, ids=quotes or odd), columns.get("timestamp")
                seconds = whole_seconds(quick, report, file=file, forms=forms, called=name) if plain else None
                if seconds is not None:
                    report.rows_read += len(seconds)
                    return seconds
                del quick
            text = _texts(source, names, dialect, quotes)
    except _QUICK_ERRORS:
        # Whatever the quick reading stumbled over, the careful one names.
        pass
    if text is None:
        text = read_delimited_text(file, list(columns.values()), mistakes=mistakes, dialect=dialect)
    text = text.select("_line", **{word: pl.col(name) for word, name in columns.items()})
    report.rows_read += len(text)
    return parse_events(text, file=file, mistakes=mistakes, report=report, called=columns, forms=forms)


def read_delimited_text(file: Path, required: Sequence[str], *, mistakes: Mistakes, dialect: Dialect | None = None) -> pl.DataFrame:
    """Every cell as text (null where there is nothing), and `_line`: the line in the file where its row starts; read row by row.

    Args:
        required: Columns that must be there.
        mistakes: Takes rows with too many or too few cells, in another encoding or with quotes that do not close; the caller settles.

    Raises:
        DataError: The file is missing, empty, torn or no text, or lacks columns.
    """
    dialect = dialect or Dialect.of(file)
    names = read_header(file, {name: name for name in required}, dialect=dialect)
    cells: list[list[str]] = []
    lines: list[int] = []
    csv.field_size_limit(LONGEST_CELL)
    with open_text(file, dialect) as stream:
        signed = stream if dialect.sign == dialect.separator else (line.replace(dialect.separator, dialect.sign) for line in stream)
        quote = dialect.quote or '"'
        rows = csv.reader(signed, delimiter=dialect.sign, quotechar=quote, quoting=quoting(dialect), strict=True)
        if dialect.header is None:
            next(rows)
        while True:
            line = rows.line_num + 1
            try:
                row = next(rows)
            except StopIteration:
                break
            except csv.Error as error:
                mistakes.note(file.name, line, f"expected quotes that close and are doubled inside, found: {error}", torn=True)
                continue
            if len(names) > 1 and not "".join(row).strip():
                row = [""] * len(names)
            wrong = _wrong(row, len(names), dialect.encoding)
            if wrong:
                mistakes.note(file.name, line, wrong, torn=len(row) != len(names))
            else:
                cells.append(row if dialect.sign == dialect.separator else [cell.replace(STAND_IN, dialect.separator) for cell in row])
                lines.append(line)
    frame = pl.DataFrame(cells, schema=dict.fromkeys(names, pl.String()), orient="row")
    return frame.with_columns(pl.when(pl.all() != "").then(pl.all())).with_columns(_line=pl.Series(lines, dtype=pl.Int64))


def _wrong(row: list[str], width: int, encoding: str) -> str | None:
    if len(row) != width:
        return f"expected {width} cells, found {len(row)}"
    whole = "".join(row)
    if "\0" in whole:
        return "expected text, found a NUL byte"
    strange = next((cell for cell in row if any("\udc80" <= sign <= "\udcff" for sign in cell)), None) if not whole.isascii() else None
    if strange is None:
        return None
    found = strange.encode("utf-8", "surrogateescape")[:_SHOWN_BYTES]
    hint = " (source table: set data.encoding=latin-1)" if encoding == "utf-8" else ""
    return f"expected {encoding.upper()}, found {found!r}{hint}"


def _whole(file: Path, dialect: Dialect) -> bytes:
    """The file as quick readers know it, in memory: for files whose separator or encoding they do not know (MovieLens 100K to 10M)."""
    with gzip.open(file, "rb") if file.name.endswith(".gz") else file.open("rb") as stream:
        text = stream.read().decode("utf-8-sig" if dialect.encoding == "utf-8" else dialect.encoding)
    if dialect.sign != dialect.separator and STAND_IN in text:
        raise UnicodeError("the stand-in is taken")
    return text.replace(dialect.separator, dialect.sign).encode()


def _marks(source: Path | io.BytesIO, dialect: Dialect) -> tuple[bool, bool]:
    """(whether there are quotes, whether anything is there that could make an id odd); a small part of the time that reading takes."""
    quotes, odd = not dialect.quote, False
    with _bytes(source) as stream:
        while not (quotes and odd) and (chunk := stream.read(_CHUNK)):
            quotes = quotes or (dialect.quote or "").encode() in chunk
            odd = odd or not chunk.isascii() or b" " in chunk or b"\0" in chunk or (dialect.sign != "\t" and b"\t" in chunk)
    return quotes and dialect.quote is not None, odd


def _bytes(source: Path | io.BytesIO) -> IO[bytes]:
    if isinstance(source, io.BytesIO):
        return io.BytesIO(source.getbuffer())
    return cast("IO[bytes]", gzip.open(source)) if source.name.endswith(".gz") else source.open("rb")


def _loose_quotes(source: Path, dialect: Dialect) -> bool:
    """Whether some quote stands within a cell, neither doubled nor at an edge: quick readers drop such quotes, or the text behind them."""
    edge, quote = re.escape(dialect.sign), re.escape(dialect.quote or '"')
    lines = pl.scan_csv(
        source, has_header=False, separator=STAND_IN, quote_char=None, schema={"line": pl.String()}, truncate_ragged_lines=True, glob=False
    )
    return bool(
        lines.select(pl.col("line").str.contains(rf"[^{quote}{edge}]{quote}[^{quote}{edge}\r]").any()).collect(engine="streaming").item()
    )


def _scan(source: Any, schema: Mapping[str, pl.DataType], dialect: Dialect, quotes: bool) -> pl.LazyFrame:
    return pl.scan_csv(
        source,
        # Our names, in order, whatever a quick reader would make of a byte-order mark, of quotes or of nothing in the header.
        schema=dict(schema),
        has_header=False,
        skip_lines=0 if dialect.header else 1,
        separator=dialect.sign,
        quote_char=dialect.quote if quotes else None,
        glob=False,
    )


def _typed(source: Any, names: Sequence[str], columns: Mapping[str, str], dialect: Dialect, quotes: bool) -> pl.DataFrame:
    """The columns with their types, sorted by time (which costs little while reading)."""
    theirs = {name: EVENT_TYPES[word] for word, name in columns.items()}
    categories = [name for name, kind in theirs.items() if kind == pl.Categorical()]
    if quotes:
        # A cell with text behind its closing quote is refused as text, but cut as a category.
        theirs |= dict.fromkeys(categories, pl.String())
    lazy = _scan(source, {name: theirs.get(name, pl.String()) for name in names}, dialect, quotes)
    # The last column is looked at even if nobody wants it: otherwise rows with too many cells pass.
    end = [pl.col(names[-1]).str.len_bytes().alias("_end")] if names[-1] not in theirs else []
    lazy = lazy.select(*theirs, *end).with_columns(pl.col(categories).cast(pl.Categorical()))
    if "timestamp" in columns:
        lazy = lazy.sort(columns["timestamp"], maintain_order=True)
    return lazy.collect(engine="streaming").select(*theirs)


def _texts(source: Any, names: Sequence[str], dialect: Dialect, quotes: bool) -> pl.DataFrame:
    """As `read_delimited_text`, but quicker; for a file whose quotes are in order."""
    frame = _scan(source, dict.fromkeys(names, pl.String()), dialect, quotes).collect(engine="streaming")
    breaks = [pl.col(name).str.count_matches("\n", literal=True).fill_null(0) for name in frame.columns] if quotes else [pl.lit(0)]
    before = pl.sum_horizontal(breaks).cum_sum().shift(1, fill_value=0)
    return frame.with_columns(_line=pl.int_range(pl.len(), dtype=pl.Int64) + (1 if dialect.header else 2) + before)
