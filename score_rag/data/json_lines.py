"""JSON, one object a line, plain or gzipped: read in pieces, so that a file larger than memory is no trouble. Arrays are read whole."""

from __future__ import annotations

import ast
import gzip
import io
import itertools
import json
import math
import re
import warnings
import zlib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from score_rag.data.forms import Forms
from score_rag.data.mistakes import Mistakes, shown
from score_rag.data.report import DataReport
from score_rag.data.table import EVENT_TYPES, is_plain, parse_cells
from score_rag.data.times import in_seconds, whole_seconds
from score_rag.errors import ChangeSetting, DataError

__all__ = ["cell_text", "field_names", "objects", "read_json_events"]

_PIECE = 200_000
_START = 4096
# What may stand before the first sign: a byte-order mark, white space.
_BEFORE = b"\xef\xbb\xbf \t\r\n"


def read_json_events(
    file: Path, columns: Mapping[str, str], *, mistakes: Mistakes, report: DataReport, forms: Forms | None = None
) -> pl.DataFrame:
    """The events of a file; see `delimited.read_delimited_events`."""
    forms = forms or Forms()
    types = {theirs: pl.String() if EVENT_TYPES[ours] == pl.Categorical() else EVENT_TYPES[ours] for ours, theirs in columns.items()}
    ours = {theirs: name for name, theirs in columns.items()}
    parts: list[pl.DataFrame] = []
    # The lines of each part, which only a mixture of units is asked for.
    places: list[pl.Series | range] = []
    start = 1
    for lines in _pieces(file):
        part = _quick(lines, types, ours) if forms.quick(columns) else None
        if part is not None:
            parts.append(part)
            places.append(range(start, start + len(part)))
            report.rows_read += len(part)
        else:
            text = _as_text(lines, columns, start, file, mistakes)
            report.rows_read += len(text)
            part, told, raw = parse_cells(text, file=file, mistakes=mistakes, report=report, called=columns, forms=forms)
            parts.append(part if raw is None else part.with_columns(_raw=raw))
            places.append(told)
        start += len(lines)
    if not parts:
        raise DataError("a data file is empty", where=file, expected="a JSON object a line")
    events = pl.concat(parts, how="diagonal")
    name = columns.get("timestamp")
    if "_raw" not in events.columns:
        seconds = whole_seconds(events, report, file=file, forms=forms, called=name) if not len(mistakes) else None
        if seconds is not None:
            return seconds
    numbers = pl.concat([pl.Series(place, dtype=pl.Int64) for place in places])
    raw = events["_raw"].fill_null(events["timestamp"].cast(pl.String())) if "_raw" in events.columns else None
    events = events.drop("_raw", strict=False)
    return in_seconds(events, numbers, raw, file=file, mistakes=mistakes, report=report, forms=forms, called=name)


def objects(file: Path, *, mistakes: Mistakes, literal: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, object) of each line that holds one; the rest are noted as mistakes.

    Args:
        literal: Also read Python literals, in which Amazon's metadata of 2014 was published (read as data, never run).
    """
    start = 1
    for lines in _pieces(file):
        for number, line in enumerate(lines, start=start):
            if line.strip():
                value = _parse(line, literal)
                if isinstance(value, dict):
                    yield number, value
                else:
                    _note(line, number, file, mistakes)
        start += len(lines)


def field_names(file: Path, *, lines: int = 100) -> list[str]:
    """The fields that the first objects have.

    Raises:
        DataError: The file is missing, empty or torn, or does not start with an object.
    """
    names: dict[str, None] = {}
    first = b""
    for piece in _pieces(file, size=lines):
        first = next((line for line in piece if line.strip()), b"")
        for line in piece:
            value = _parse(line, literal=True) if line.strip() else {}
            if isinstance(value, dict):
                names.update(dict.fromkeys(value))
        break
    if not names:
        if not first:
            raise DataError("a data file is empty", where=file, expected="a JSON object a line, or an array of them")
        raise DataError(
            "a data file holds no JSON objects", where=file, expected="one a line, or an array of them", found=shown(_told(first))
        )
    return list(names)


def cell_text(value: Any) -> str | None:
    """A JSON value as a cell: a number without a fraction as a whole one (7.0 is 7), a list or object as JSON."""
    if value is None:
        return None
    if isinstance(value, str):
        # Half a surrogate pair is no text; it becomes what no id may have in it, and no title keeps.
        return value if value.isascii() else re.sub("[\ud800-\udfff]", "\0", value)
    if isinstance(value, float) and math.isfinite(value):
        return f"{Decimal(repr(value)):f}".removesuffix(".0")
    return json.dumps(value)


def _pieces(file: Path, *, size: int = _PIECE) -> Iterator[list[bytes]]:
    """A file's lines, so many at a time; of an array, its objects, each as a line."""
    if not file.is_file():
        raise DataError("a data file is missing", where=file, hint="say where the data is", remedy=ChangeSetting({"data.path": "FOLDER"}))
    try:
        with gzip.open(file, "rb") if file.name.endswith(".gz") else file.open("rb") as stream:
            start = stream.read(_START)
            stream.seek(0)
            lines = iter(_elements(stream.read(), file)) if start.lstrip(_BEFORE).startswith(b"[") else stream
            while piece := list(itertools.islice(lines, size)):
                yield piece
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            "a gzipped file is torn or is none", where=file, found=str(error), hint="download it again; nothing was written"
        ) from error
    except OSError as error:
        raise DataError("a data file cannot be read", where=file, found=str(error)) from error


def _elements(content: bytes, file: Path) -> list[bytes]:
    """The elements of a JSON array, as pandas writes records, each as a line of its own."""
    try:
        found = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(
            "a data file is no JSON array, though it begins like one",
            where=file,
            expected="[{...}, ...], or a JSON object a line",
            found=error,
        ) from error
    return [json.dumps(element).encode() + b"\n" for element in found]


def _quick(lines: list[bytes], types: Mapping[str, pl.DataType], ours: Mapping[str, str]) -> pl.DataFrame | None:
    try:
        frame = pl.read_ndjson(io.BytesIO(b"".join(lines)), schema=dict(types)).rename(dict(ours))
    except pl.exceptions.PolarsError:
        return None
    frame = frame.with_columns(pl.col(name).cast(EVENT_TYPES[name]) for name in ours.values())
    return frame if len(frame) == len(lines) and is_plain(frame) else None


def _as_text(lines: list[bytes], columns: Mapping[str, str], start: int, file: Path, mistakes: Mistakes) -> pl.DataFrame:
    """Cells as text, of the lines that are objects; a blank line is a row of nothing."""
    rows: dict[str, list[Any]] = {name: [] for name in (*columns, "_line")}
    for number, line in enumerate(lines, start=start):
        value = _parse(line, literal=False) if line.strip() else {}
        if not isinstance(value, dict):
            _note(line, number, file, mistakes)
            continue
        cells = {name: value.get(theirs) for name, theirs in columns.items()}
        nested = [name for name in ("user_id", "item_id") if isinstance(cells[name], list | dict)]
        for name in nested:
            mistakes.note(file.name, number, f"{columns[name]}: expected an id, found {shown(json.dumps(cells[name]))}")
        if not nested:
            for name, cell in cells.items():
                rows[name].append(cell_text(cell))
            rows["_line"].append(number)
    return pl.DataFrame(rows, schema={**dict.fromkeys(columns, pl.String()), "_line": pl.Int64()})


def _note(line: bytes, number: int, file: Path, mistakes: Mistakes) -> None:
    try:
        line.decode("utf-8")
        expected = "a JSON object"
    except UnicodeDecodeError:
        expected = "UTF-8"
    mistakes.note(file.name, number, f"expected {expected}, found {shown(_told(line))}")


def _told(line: bytes) -> str:
    return line[:200].decode("utf-8", "replace").strip()


def _parse(line: bytes, literal: bool) -> Any:
    try:
        text = line.decode("utf-8").lstrip("\ufeff")
    except UnicodeDecodeError:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        if not literal:
            return None
    try:
        with warnings.catch_warnings():
            # A strange escape in foreign data is no concern of whoever reads it.
            warnings.simplefilter("ignore")
            return ast.literal_eval(text.strip())
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
