"""Book-Crossing: as published (`BX-*.csv`: semicolons, latin-1, backslashes before quotes) and as it is passed on (`Ratings.csv`)."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from score_rag.data.catalogue import tidy_items
from score_rag.data.dialect import LONGEST_CELL, Dialect, open_text
from score_rag.data.folders import first_there
from score_rag.data.mistakes import Mistakes, require_columns, require_rows
from score_rag.data.report import DataReport
from score_rag.data.table import parse_events
from score_rag.errors import DataError

__all__ = ["book_crossing_files", "read_book_crossing"]

_COLUMNS = {"user_id": "User-ID", "item_id": "ISBN", "rating": "Book-Rating"}
_BOOKS = {"item_id": "ISBN", "title": "Book-Title", "creators": "Book-Author", "year": "Year-Of-Publication"}
_EXPECTED = "BX-Book-Ratings.csv and BX-Books.csv, or Ratings.csv and Books.csv"


def book_crossing_files(folder: Path) -> tuple[Path, Path]:
    """(ratings, books).

    Raises:
        DataError: One is missing.
    """
    ratings = first_there(folder, ("BX-Book-Ratings.csv", "Ratings.csv"), "Book-Crossing data", _EXPECTED)
    books = first_there(folder, ("BX-Books.csv", "BX_Books.csv", "Books.csv"), "Book-Crossing data", _EXPECTED)
    return ratings, books


def read_book_crossing(folder: Path, *, report: DataReport, strict: bool = False) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(events, items): ratings of 1 to 10 in the order of the file, without times; titles, authors, years of editions.

    A rating of 0 says that a book was come across, not how it was liked: it is left out.

    Raises:
        DataError: A file is missing or has malformed rows.
    """
    ratings, books = book_crossing_files(folder)
    mistakes = Mistakes()
    text = _rows(ratings, _COLUMNS, mistakes)
    report.rows_read += len(text)
    bare = text["rating"].str.strip_chars().fill_null("") == "0"
    report.drop("a book come across without a rating (0)", int(bare.sum()))
    if len(text) and bare.all():
        raise DataError("no book is rated", where=ratings, expected="ratings of 1 to 10", found="ratings of 0 alone")
    events = parse_events(text.filter(~bare), file=ratings, mistakes=mistakes, report=report, called=_COLUMNS)
    told = _rows(books, _BOOKS, mistakes)
    items = told.with_columns(creators=pl.concat_list("creators").list.drop_nulls())
    catalogue = tidy_items(items, file=books, mistakes=mistakes, report=report, called=_BOOKS, strict=strict)
    mistakes.settle(folder)
    require_rows(events, where=ratings)
    return events, catalogue


def _rows(file: Path, columns: dict[str, str], mistakes: Mistakes) -> pl.DataFrame:
    """Our columns as text, and `_line`. As published, a quote in a cell stands after a backslash, which is no form of CSV."""
    published = file.name.startswith("BX")
    dialect = Dialect(";" if published else ",", encoding="latin-1" if published else "utf-8")
    csv.field_size_limit(LONGEST_CELL)
    cells: list[Sequence[str]] = []
    lines: list[int] = []
    with open_text(file, dialect) as stream:
        rows = csv.reader(stream, delimiter=dialect.separator, escapechar="\\" if published else None)
        names = next(rows, [])
        require_columns(names, columns, file=file, hint=f"expected {_EXPECTED}, as published")
        places = [names.index(name) for name in columns.values()]
        line = rows.line_num + 1
        for row in rows:
            if len(row) == len(names):
                cells.append([row[place] for place in places])
                lines.append(line)
            elif row:
                mistakes.note(file.name, line, f"expected {len(names)} cells, found {len(row)}")
            line = rows.line_num + 1
    frame = pl.DataFrame(cells, schema=dict.fromkeys(columns, pl.String()), orient="row")
    return frame.with_columns(pl.when(pl.all() != "").then(pl.all())).with_columns(_line=pl.Series(lines, dtype=pl.Int64))
