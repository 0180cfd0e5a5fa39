"""How a file of data is written, as its beginning shows: form, encoding, separator, quotes, header, and some rows."""

from __future__ import annotations

import csv
import gzip
import json
import math
import zlib
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from score_rag.data.json_lines import cell_text
from score_rag.errors import DataError

__all__ = ["Sniffed", "is_number", "sniff"]

_BYTES = 2_000_000
_ROWS = 2000
_SEPARATORS = ("\t", "::", ";", "|", ",")
"""From the one that stands least often for itself to the one that does most."""


@dataclass(frozen=True)
class Sniffed:
    """A file, as its beginning shows it.

    Attributes:
        file: The file.
        form: Delimited text, JSON (lines or an array), or Parquet.
        names: Of columns; their numbers from 1 where the file has no header.
        rows: Some rows as text, in the order of `names`; a list in a cell is joined by bars.
        separator: Between cells of delimited text.
        encoding: Of delimited text.
        quoted: Whether cells of delimited text may stand in double quotes.
        header: Whether the first line names the columns.
    """

    file: Path
    form: Literal["delimited", "json", "parquet"]
    names: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    separator: str = ","
    encoding: str = "utf-8"
    quoted: bool = True
    header: bool = True

    def cells(self, name: str) -> list[str]:
        """A column's cells that hold something."""
        place = self.names.index(name)
        return [row[place].strip() for row in self.rows if row[place].strip()]


def sniff(file: Path) -> Sniffed:
    """Look at a file's beginning.

    Raises:
        DataError: It is missing, empty, or of no form that is known.
    """
    name = file.name.removesuffix(".gz")
    if not file.is_file():
        raise DataError("a data file is missing", where=file, expected="a file")
    if name.endswith(".parquet"):
        return _parquet(file)
    start, whole = _beginning(file)
    if not start.strip():
        raise DataError("a data file is empty", where=file, expected="rows")
    if name.endswith((".json", ".jsonl", ".ndjson")):
        return _json(file, start, whole)
    return _delimited(file, start, whole)


def is_number(cell: str) -> bool:
    """Whether a cell is a finite number.

    >>> is_number("4.5"), is_number("nan"), is_number("V")
    (True, False, False)
    """
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def _beginning(file: Path) -> tuple[bytes, bool]:
    """(the first bytes, whether they are all)."""
    try:
        with gzip.open(file, "rb") if file.name.endswith(".gz") else file.open("rb") as stream:
            start = stream.read(_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError("a data file cannot be read", where=file, found=str(error)) from error
    return start[:_BYTES], len(start) <= _BYTES


def _parquet(file: Path) -> Sniffed:
    import polars as pl

    try:
        frame = pl.scan_parquet(file).head(_ROWS).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError("a Parquet file cannot be read", where=file, found=str(error).splitlines()[0]) from error
    return Sniffed(file, "parquet", tuple(frame.columns), tuple(tuple(_cell(value) for value in row) for row in frame.iter_rows()))


def _json(file: Path, start: bytes, whole: bool) -> Sniffed:
    text = start.decode("utf-8-sig", "replace")
    if text.lstrip().startswith("["):
        found = _array(text)
    else:
        lines = [line for line in text.splitlines() if line.strip()]
        found = [_object(line) for line in lines[: _ROWS if whole else max(1, len(lines) - 1)][:_ROWS]]
    objects = [one for one in found if isinstance(one, dict)]
    if not objects:
        raise DataError("a JSON file holds no objects", where=file, expected="an object a line, or an array of objects", found=text[:60])
    names = tuple(dict.fromkeys(name for one in objects for name in one))
    return Sniffed(file, "json", names, tuple(tuple(_cell(one.get(name)) for name in names) for one in objects))


def _array(text: str) -> list[Any]:
    """The first objects of an array, of which the end may not be there."""
    decoder, place = json.JSONDecoder(), text.index("[") + 1
    found: list[Any] = []
    while len(found) < _ROWS:
        while place < len(text) and text[place] in " \t\r\n,":
            place += 1
        try:
            value, place = decoder.raw_decode(text, place)
        except ValueError:
            break
        found.append(value)
    return found


def _object(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _cell(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "|".join(_cell(one) for one in value)
    return (cell_text(value) if isinstance(value, str | float | dict | bool | None) else str(value)) or ""


def _delimited(file: Path, start: bytes, whole: bool) -> Sniffed:
    encoding, text = _text(start)
    lines = [line for line in text.split("\n") if line.strip()]
    lines = [line.rstrip("\r") for line in (lines if whole or len(lines) < 2 else lines[:-1])][:_ROWS]
    separator, quoted = _separation(lines)
    rows = _split(lines, separator, quoted)
    width = Counter(map(len, rows)).most_common(1)[0][0]
    even = [row for row in rows if len(row) == width]
    header = _has_header(even)
    names = tuple(even[0]) if header else tuple(str(place) for place in range(1, width + 1))
    return Sniffed(file, "delimited", names, tuple(even[1:] if header else even), separator, encoding, quoted, header)


def _text(start: bytes) -> tuple[str, str]:
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16", start.decode("utf-16", "replace")
    try:
        return "utf-8", start.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The last sign may be cut in two.
        if error.start >= len(start) - 4:
            return "utf-8", start[: error.start].decode("utf-8-sig")
    # Bytes that are control characters in latin-1 are quotes and dashes in cp1252.
    known = any(byte in start for byte in (0x91, 0x92, 0x93, 0x94, 0x96, 0x97, 0x80, 0x85))
    encoding = "cp1252" if known else "latin-1"
    return encoding, start.decode(encoding, "replace")


def _separation(lines: list[str]) -> tuple[str, bool]:
    """(separator, whether cells stand in quotes): those by which most rows have the same number of cells, more than one."""
    best: tuple[float, str, bool] = (0.0, ",", True)
    for separator in _SEPARATORS:
        for quoted in (True, False):
            widths = Counter(map(len, _split(lines, separator, quoted)))
            width, count = max(widths.items(), key=lambda one: (one[1], one[0]))
            if width > 1 and count / len(lines) > best[0] + 1e-9:
                best = (count / len(lines), separator, quoted)
    return best[1], best[2]


def _split(lines: list[str], separator: str, quoted: bool) -> list[tuple[str, ...]]:
    sign = separator if len(separator) == 1 else "\x1f"
    signed = (line.replace(separator, sign) for line in lines)
    rows = csv.reader(signed, delimiter=sign, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE)
    try:
        return [tuple(row) for row in islice(rows, _ROWS)]
    except csv.Error:
        return [(line,) for line in lines]


def _has_header(rows: list[tuple[str, ...]]) -> bool:
    """Whether the first row names columns: none of its cells is a number, nor stands among the cells below it."""
    first, rest = rows[0], rows[1:]
    if any(is_number(cell) for cell in first):
        return False
    below = [{row[place] for row in rest} for place in range(len(first))]
    return not any(cell.strip() and cell in below[place] for place, cell in enumerate(first))
