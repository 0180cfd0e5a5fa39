"""How delimited text is written, and what its first line says."""

from __future__ import annotations

import csv
import gzip
import math
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from score_rag.data.mistakes import require_columns, shown
from score_rag.errors import ChangeSetting, DataError

__all__ = [
    "LONGEST_CELL",
    "SEPARATORS",
    "STAND_IN",
    "Dialect",
    "first_line",
    "open_text",
    "quoting",
    "read_header",
    "require_names",
    "separator_that_fits",
]

LONGEST_CELL = 10_000_000
# Stands for a separator of several signs, which quick readers do not know: the unit separator of ASCII, made for this and used by nobody.
STAND_IN = "\x1f"
SEPARATORS = {"semicolons": ";", "tabs": "\t", "commas": ",", "bars": "|", "double colons": "::"}
"""What separates cells, by name, in the order in which it is looked for."""
# How files begin that are no text.
_OTHER_FORMS = (
    (b"\x1f\x8b", "gzip", "let its name end in .gz"),
    (b"PK\x03\x04", "a zip archive or a spreadsheet", "unpack it, or save it as CSV"),
    (b"PAR1", "Parquet", "let its name end in .parquet"),
    (b"\xff\xfe", "UTF-16", "set data.encoding=utf-16 (source table), or save it as UTF-8"),
    (b"\xfe\xff", "UTF-16", "set data.encoding=utf-16 (source table), or save it as UTF-8"),
)


@dataclass(frozen=True)
class Dialect:
    """How a file is written.

    Attributes:
        separator: Between cells; several signs (`::`, MovieLens 1M) are understood.
        quote: The sign in pairs of which cells may stand; None where quotes are signs like any other.
        encoding: `utf-8`, `latin-1` or any other that Python knows.
        header: Column names, where the file has no line of its own for them.
    """

    separator: str = ","
    quote: str | None = '"'
    encoding: str = "utf-8"
    header: tuple[str, ...] | None = None

    @classmethod
    def of(cls, file: Path) -> Dialect:
        """By the file's name: tabs and no quotes for `.tsv`, `.inter`, `.item`, `.user`; commas for the rest, and no quotes in `.dat`."""
        name = file.name.removesuffix(".gz")
        tabbed = name.endswith((".tsv", ".tab", ".inter", ".item", ".user"))
        return cls(separator="\t" if tabbed else ",", quote=None if tabbed or name.endswith(".dat") else '"')

    @property
    def sign(self) -> str:
        """The one byte between cells, once the text is opened."""
        return self.separator if len(self.separator.encode()) == 1 else STAND_IN

    @property
    def plain(self) -> bool:
        """Whether the file can be read as it is, without decoding and rewriting it in memory."""
        return self.encoding == "utf-8" and self.sign == self.separator


def read_header(file: Path, columns: Mapping[str, str], *, dialect: Dialect | None = None) -> list[str]:
    """A file's column names; those that it leaves without one are numbered.

    Args:
        columns: Those that must be there, by their names in the file (the values).

    Raises:
        DataError: The file is missing, empty or no text, or lacks columns, or has some twice.
    """
    dialect = dialect or Dialect.of(file)
    if not file.is_file():
        raise DataError("a data file is missing", where=file, hint="say where the data is", remedy=ChangeSetting({"data.path": "FOLDER"}))
    if dialect.header:
        return list(dialect.header)
    first = first_line(file, dialect)
    if not first.strip():
        raise DataError(f"a data file {'starts with a blank line' if first else 'is empty'}", where=file, expected="a header line")
    csv.field_size_limit(LONGEST_CELL)
    line = first.encode("utf-8", "surrogateescape").decode("utf-8", "replace").replace(dialect.separator, dialect.sign)
    try:
        names = next(csv.reader([line], delimiter=dialect.sign, quotechar=dialect.quote or '"', quoting=quoting(dialect)))
    except csv.Error as error:
        hint = "do its lines end in carriage returns alone? save it with line feeds" if "\r" in first.rstrip() else None
        raise DataError(
            "a header cannot be read", where=file, expected="column names", found=f"{error}: {shown(line)}", hint=hint
        ) from error
    require_names(names, columns, file)
    require_columns(names, columns, file=file, hint=_other_separator(first.strip(), dialect, columns) or _no_header(names))
    return [name or f"_unnamed_{place}" for place, name in enumerate(names)]


def first_line(file: Path, dialect: Dialect) -> str:
    """A file's first line."""
    with open_text(file, dialect) as stream:
        return stream.readline(LONGEST_CELL)


def require_names(names: list[str], columns: Mapping[str, str], file: Path) -> None:
    """A header must be one: not numbers in every cell, and none for a column that is wanted.

    Raises:
        DataError: It looks like data; reading on would lose the first row.
    """
    told = [name for name in names if name.strip()]
    # Tables whose columns were never named are written with their numbers for names.
    counted = any(told == [str(number + first) for number in range(len(told))] for first in (0, 1))
    numbers = [name for name in told if _is_number(name)]
    if told and not counted and (len(numbers) == len(told) or set(numbers) & set(columns.values())):
        raise DataError(
            "a header looks like data, not like names of columns",
            where=file,
            expected="names of columns; or no header, and columns by number",
            found=", ".join(names)[:300],
            hint=_no_header(names),
        )


def _no_header(names: list[str]) -> str | None:
    """A hint where the first line holds numbers."""
    if not any(_is_number(name) for name in names):
        return None
    places = ", ".join(f"{place} {shown(name)}" for place, name in enumerate(names[:8], start=1))
    return f"if the file has no header, set data.header=false and name its columns by number, data.columns={{user_id: 1, ...}}: {places}"


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def quoting(dialect: Dialect) -> Literal[0, 3]:
    """The word of Python's csv reader for it."""
    return csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE


def _other_separator(first: str, dialect: Dialect, columns: Mapping[str, str]) -> str | None:
    """A hint where another separator would have found the columns in the first line."""
    name = separator_that_fits(first, dialect.separator, columns.values())
    return name and f"its cells are separated by {name}: {ChangeSetting({'data.separator': SEPARATORS[name]})} (sources table, recbole)"


def separator_that_fits(first: str, usual: str, columns: Collection[str]) -> str | None:
    """The name of another separator than the usual one that finds these columns in a file's first line; None where none does."""
    for name, other in SEPARATORS.items():
        if other != usual and columns and set(columns) <= {cell.strip('" ') for cell in first.strip().split(other)}:
            return name
    return None


@contextmanager
def open_text(file: Path, dialect: Dialect) -> Iterator[IO[str]]:
    """The file as text; a byte-order mark is skipped, bytes of another encoding come as lone surrogates; lines end at line feeds only."""
    encoding = "utf-8-sig" if dialect.encoding == "utf-8" else dialect.encoding
    zipped = file.name.endswith(".gz")
    try:
        with gzip.open(file) if zipped else file.open("rb") as stream:
            start = stream.read(4)
        for sign, form, hint in _OTHER_FORMS:
            if start.startswith(sign) and not (form == "UTF-16" and "16" in encoding):
                raise DataError("a data file is no text", where=file, expected="delimited text", found=form, hint=hint)
        opened: Any = gzip.open if zipped else Path.open
        with opened(file, "rt", encoding=encoding, errors="surrogateescape", newline="\n") as stream:
            yield stream
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            "a gzipped file is torn or is none", where=file, found=str(error), hint="download it again; nothing was written"
        ) from error
    except (OSError, UnicodeError) as error:
        raise DataError("a data file cannot be read", where=file, expected=f"text in {encoding}", found=shown(str(error))) from error
