"""How a table's files are written: as the user says, for both or each; else by name; and where that cannot be, as the file itself shows.

Whatever was not as said or as usual is noted in the report.
"""

from __future__ import annotations

import codecs
import csv
import gzip
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

import polars as pl

from score_rag.data.dialect import LONGEST_CELL, SEPARATORS, Dialect, first_line, open_text, quoting, separator_that_fits
from score_rag.data.mistakes import Mistakes
from score_rag.data.report import DataReport
from score_rag.errors import DataError, InputError

__all__ = ["Writing", "dialect_of", "either_way", "for_file"]

T = TypeVar("T")
Word = Literal["interactions", "items"]
_NO_QUOTES = "none"
_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class Writing:
    """What the user told of how files are written; each of both files alike, or a mapping by file.

    Attributes:
        separator: Between cells.
        encoding: Of the text.
        quote: `none`, or the sign in pairs of which cells may stand.
        header: Whether the first line names the columns.
    """

    separator: str | Mapping[str, str] | None = None
    encoding: str | Mapping[str, str] = "utf-8"
    quote: str | Mapping[str, str] | None = None
    header: bool | Mapping[str, bool] = True


def for_file(value: T | Mapping[str, T], word: Word, usual: T) -> T:
    """A setting's value for one of the two files."""
    return value.get(word, usual) if isinstance(value, Mapping) else value


def dialect_of(file: Path, word: Word, writing: Writing, columns: Collection[str], report: DataReport) -> Dialect:
    """How a file is written.

    Args:
        columns: Columns that it must have, by their names there.

    Raises:
        InputError: A separator or an encoding that cannot be one.
    """
    usual = Dialect.of(file)
    separator = for_file(writing.separator, word, None)
    if separator is not None and (not separator or set(separator) & set('"\r\n\0')):
        raise InputError(
            "this cannot separate cells", where="data.separator", expected='a comma, "\\t", "::" or the like', found=repr(separator)
        )
    dialect = replace(usual, encoding=_encoding(file, word, writing, report), separator=separator or usual.separator)
    if len(dialect.separator) > 1 and separator:
        dialect = replace(dialect, quote='"')
    if not file.is_file():
        return dialect
    first = first_line(file, dialect)
    headed = for_file(writing.header, word, True)
    dialect = replace(dialect, separator=_separator(file, first, dialect, writing, columns if headed else (), report))
    quote = for_file(writing.quote, word, None)
    if quote is not None:
        dialect = replace(dialect, quote=None if quote == _NO_QUOTES else quote)
    elif dialect.separator == "::" and not separator:
        dialect = replace(dialect, quote=None)
    elif headed and dialect.quote is None and first.lstrip("\ufeff").startswith('"') and set(columns) <= set(_cells(first, dialect, '"')):
        report.say(f"{file.name}: names of columns stand in double quotes, so cells are read as quoted (data.quote)")
        dialect = replace(dialect, quote='"')
    if headed:
        return dialect
    width = len(_cells(first, dialect, dialect.quote))
    return replace(dialect, header=tuple(str(number + 1) for number in range(width)))


def either_way(
    file: Path,
    word: Word,
    dialect: Dialect,
    writing: Writing,
    read: Callable[[Dialect, Mistakes, DataReport], pl.DataFrame],
    *,
    mistakes: Mistakes,
    report: DataReport,
) -> pl.DataFrame:
    """What `read` gives of a file; where its lines only come apart with quotes read otherwise, read so, which is said."""
    tried, told = Mistakes(), DataReport(report.source)
    found = read(dialect, tried, told)
    if tried.torn and for_file(writing.quote, word, None) is None:
        other = replace(dialect, quote=None if dialect.quote else '"')
        if _comes_apart(file, other):
            what = "double quotes are signs like any other" if other.quote is None else "cells are quoted"
            tried, told = Mistakes(), DataReport(report.source)
            found = read(other, tried, told)
            told.warn(f"{file.name} can only be read one way: {what} there (data.quote: {other.quote or _NO_QUOTES})")
    mistakes.take(tried)
    report.take(told)
    return found


def _encoding(file: Path, word: Word, writing: Writing, report: DataReport) -> str:
    said = for_file(writing.encoding, word, "utf-8")
    try:
        known = codecs.lookup(said).name
    except LookupError:
        raise InputError("there is no such encoding", where="data.encoding", expected="utf-8, latin-1, cp1252, ...", found=said) from None
    known = "utf-8" if known in ("utf-8", "utf-8-sig") else known
    if (isinstance(writing.encoding, Mapping) and word in writing.encoding) or not file.is_file():
        return known
    if known == "utf-8" and _start(file).startswith(_MARKS):
        report.say(f"{file.name} is in UTF-16, and read so (data.encoding)")
        return "utf-16"
    if known not in ("utf-8", "ascii") and not known.startswith("utf") and _is_utf8(file):
        report.say(f"{file.name} is in UTF-8, not in {said}, and read so (data.encoding: {{{word}: {said}}} reads it as {said})")
        return "utf-8"
    return known


def _start(file: Path) -> bytes:
    try:
        with gzip.open(file) if file.name.endswith(".gz") else file.open("rb") as stream:
            return stream.read(4)
    except (OSError, EOFError):
        # Whoever reads it names it.
        return b""


def _is_utf8(file: Path) -> bool:
    """Whether a file holds signs beyond ASCII, all of them in UTF-8: text in another encoding hardly ever does."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    beyond = False
    try:
        with gzip.open(file) if file.name.endswith(".gz") else file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                beyond = beyond or not chunk.isascii()
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
    except (UnicodeDecodeError, OSError, EOFError):
        return False
    return beyond


def _separator(file: Path, first: str, dialect: Dialect, writing: Writing, columns: Collection[str], report: DataReport) -> str:
    """The separator said or usual, unless the columns are only found with another; a mapping by file is taken at its word."""
    if isinstance(writing.separator, Mapping) or (set(columns) <= set(_cells(first, dialect, dialect.quote)) and columns):
        return dialect.separator
    name = separator_that_fits(first, dialect.separator, columns)
    if not columns and writing.separator is None and len(_cells(first, dialect, dialect.quote)) == 1:
        name = next((name for name, sign in SEPARATORS.items() if sign in first), None)
    if name is None:
        return dialect.separator
    report.say(f"{file.name}: cells are separated by {name}, and read so (data.separator)")
    return SEPARATORS[name]


def _cells(line: str, dialect: Dialect, quote: str | None) -> list[str]:
    """The cells of one line, at a guess."""
    text = line.strip("\r\n").replace(dialect.separator, dialect.sign).lstrip("\ufeff")
    try:
        return next(csv.reader([text], delimiter=dialect.sign, quotechar=quote or '"', quoting=quoting(replace(dialect, quote=quote))), [])
    except csv.Error:
        return []


def _comes_apart(file: Path, dialect: Dialect) -> bool:
    """Whether every line comes apart into as many cells as the first; and where quotes were to be plain signs, none looks like a pair."""
    csv.field_size_limit(LONGEST_CELL)
    width = None
    try:
        with open_text(file, dialect) as stream:
            signed = (line.replace(dialect.separator, dialect.sign) for line in stream)
            rows = csv.reader(signed, delimiter=dialect.sign, quotechar=dialect.quote or '"', quoting=quoting(dialect), strict=True)
            for row in rows:
                width = width or len(row)
                if row and "".join(row).strip() and len(row) != width:
                    return False
                if dialect.quote is None and any(len(cell) > 1 and cell[0] == cell[-1] == '"' for cell in row):
                    return False
    except (csv.Error, DataError):
        return False
    return True
