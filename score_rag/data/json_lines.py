"""JSON, one object a line, plain or gzipped: read in pieces, so that a file larger than memory is no trouble."""

from __future__ import annotations

import ast
import gzip
import io
import itertools
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from score_rag.data.report import DataReport
from score_rag.data.table import EVENT_TYPES, Mistakes, is_plain, parse_events, whole_seconds
from score_rag.errors import DataError

__all__ = ["field_names", "objects", "read_json_events"]

_PIECE = 200_000


def read_json_events(file: Path, columns: Mapping[str, str], *, mistakes: Mistakes, report: DataReport) -> pl.DataFrame:
    """The events of a file; see `delimited.read_delimited_events`."""
    types = {theirs: pl.String() if ours in ("user_id", "item_id", "split") else EVENT_TYPES[ours] for ours, theirs in columns.items()}
    ours = {theirs: name for name, theirs in columns.items()}
    parts, start = [], 1
    for lines in _pieces(file):
        part = _quick(lines, types, ours, report)
        if part is None:
            text = _as_text(lines, list(columns.values()), start, file, mistakes).rename(ours)
            report.rows_read += len(text)
            part = parse_events(text, file=file, mistakes=mistakes, report=report, called=columns)
        parts.append(part)
        start += len(lines)
    if not parts:
        raise DataError("a data file is empty", where=file, expected="a JSON object a line")
    return pl.concat(parts)


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
                    mistakes.note(f"{file.name}, line {number}: expected a JSON object, found {line[:40].decode('utf-8', 'replace')!r}")
        start += len(lines)


def field_names(file: Path, *, lines: int = 100) -> list[str]:
    """The fields that the first objects have.

    Raises:
        DataError: The file is missing, empty or torn, or does not start with an object.
    """
    names: dict[str, None] = {}
    for piece in _pieces(file, size=lines):
        for line in piece:
            value = _parse(line, literal=True) if line.strip() else {}
            if isinstance(value, dict):
                names.update(dict.fromkeys(value))
        break
    if not names:
        raise DataError("a data file is no JSON lines", where=file, expected="a JSON object a line", found="none in its first lines")
    return list(names)


def _pieces(file: Path, *, size: int = _PIECE) -> Iterator[list[bytes]]:
    if not file.is_file():
        raise DataError("a data file is missing", where=file, hint="say where the data is: --set data.path=FOLDER")
    try:
        with gzip.open(file, "rb") if file.name.endswith(".gz") else file.open("rb") as stream:
            while lines := list(itertools.islice(stream, size)):
                yield lines
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            "a gzipped file is torn or is none", where=file, found=str(error), hint="download it again; nothing was written"
        ) from error


def _quick(lines: list[bytes], types: Mapping[str, pl.DataType], ours: Mapping[str, str], report: DataReport) -> pl.DataFrame | None:
    try:
        frame = pl.read_ndjson(io.BytesIO(b"".join(lines)), schema=dict(types)).rename(dict(ours))
    except pl.exceptions.PolarsError:
        return None
    if len(frame) != len(lines):
        return None
    before = dict(report.decisions)
    frame = whole_seconds(frame.with_columns(pl.col(name).cast(EVENT_TYPES[name]) for name in ours.values()), report)
    if not is_plain(frame):
        report.decisions = before
        return None
    report.rows_read += len(frame)
    return frame


def _as_text(lines: list[bytes], wanted: list[str], start: int, file: Path, mistakes: Mistakes) -> pl.DataFrame:
    """Cells as text, of the lines that are objects."""
    rows: dict[str, list[Any]] = {name: [] for name in (*wanted, "_line")}
    for number, line in enumerate(lines, start=start):
        value = _parse(line, literal=False) if line.strip() else {}
        if not isinstance(value, dict):
            mistakes.note(f"{file.name}, line {number}: expected a JSON object, found {line[:40].decode('utf-8', 'replace')!r}")
            continue
        for name in wanted:
            cell = value.get(name)
            rows[name].append(cell if cell is None or isinstance(cell, str) else json.dumps(cell))
        rows["_line"].append(number)
    return pl.DataFrame(rows, schema={**dict.fromkeys(wanted, pl.String()), "_line": pl.Int64()})


def _parse(line: bytes, literal: bool) -> Any:
    try:
        text = line.decode("utf-8").lstrip("\ufeff")
    except UnicodeDecodeError:
        return None
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        if not literal:
            return None
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
