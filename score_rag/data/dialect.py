"""How delimited text is written, and what its first line says."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from score_rag.data.mistakes import require_columns, shown
from score_rag.errors import ChangeSetting, DataError

__all__ = ["LONGEST_CELL", "STAND_IN", "Dialect", "open_text", "quoting", "read_header"]

LONGEST_CELL = 10_000_000
# Stands for a separator of several signs, which quick readers do not know: the unit separator of ASCII, made for this and used by nobody.
STAND_IN = "\x1f"
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
        quoted: Whether cells may stand in double quotes.
        encoding: `utf-8`, `latin-1` or any other that Python knows.
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
    with open_text(file, dialect) as stream:
        first = stream.readline(LONGEST_CELL)
    if not first.strip():
        raise DataError(f"a data file {'starts with a blank line' if first else 'is empty'}", where=file, expected="a header line")
    csv.field_size_limit(LONGEST_CELL)
    line = first.encode("utf-8", "surrogateescape").decode("utf-8", "replace").replace(dialect.separator, dialect.sign)
    try:
        names = next(csv.reader([line], delimiter=dialect.sign, quoting=quoting(dialect)))
    except csv.Error as error:
        hint = "do its lines end in carriage returns alone? save it with line feeds" if "\r" in first.rstrip() else None
        raise DataError(
            "a header cannot be read", where=file, expected="column names", found=f"{error}: {shown(line)}", hint=hint
        ) from error
    require_columns(names, columns, file=file, hint=_other_separator(first.strip(), dialect, columns))
    return [name or f"_unnamed_{place}" for place, name in enumerate(names)]


def quoting(dialect: Dialect) -> Literal[0, 3]:
    """The word of Python's csv reader for it."""
    return csv.QUOTE_MINIMAL if dialect.quoted else csv.QUOTE_NONE


def _other_separator(first: str, dialect: Dialect, columns: Mapping[str, str]) -> str | None:
    """A hint where another separator would have found the columns in the first line."""
    for name, other in (("semicolons", ";"), ("tabs", "\t"), ("commas", ","), ("bars", "|"), ("double colons", "::")):
        if other != dialect.separator and set(columns.values()) <= {cell.strip('" ') for cell in first.split(other)}:
            return f"its cells are separated by {name}: {ChangeSetting({'data.separator': other})} (source table)"
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
