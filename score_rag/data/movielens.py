"""MovieLens in each form that GroupLens publishes it: comma-separated (ml-latest, -latest-small, 25m, 32m), `::` (1m, 10m), and 100k."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from score_rag.data.catalogue import tidy_items
from score_rag.data.delimited import read_delimited_events, read_delimited_text
from score_rag.data.dialect import Dialect
from score_rag.data.mistakes import Mistakes, require_rows
from score_rag.data.report import DataReport
from score_rag.errors import DataError, FetchDataset

__all__ = ["movielens_files", "read_movielens"]

_COLUMNS = {"user_id": "userId", "item_id": "movieId", "rating": "rating", "timestamp": "timestamp"}
_DOTS = Dialect(separator="::", quote=None, encoding="latin-1", header=tuple(_COLUMNS.values()))
_TABS = Dialect(separator="\t", quote=None, encoding="latin-1", header=tuple(_COLUMNS.values()))
_GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy", "Film-Noir",
    "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
_FORMS = (("ratings.csv", "movies.csv"), ("ratings.dat", "movies.dat"), ("u.data", "u.item"))


def movielens_files(folder: Path) -> tuple[Path, Path]:
    """(ratings, movies) of the form that a folder has.

    Raises:
        DataError: It has none.
    """
    for ratings, movies in _FORMS:
        if (folder / ratings).is_file() or (folder / movies).is_file():
            return folder / ratings, folder / movies
    raise DataError(
        "this folder holds no MovieLens data",
        where=folder,
        expected=" or ".join(" and ".join(pair) for pair in _FORMS),
        remedy=FetchDataset("ml-latest-small"),
    )


def read_movielens(folder: Path, *, report: DataReport, strict: bool = False) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(events, items): ratings with their times, and films with year and genres.

    Raises:
        DataError: A file is missing or has malformed rows.
    """
    ratings, movies = movielens_files(folder)
    mistakes = Mistakes()
    dialect = {"ratings.dat": _DOTS, "u.data": _TABS}.get(ratings.name)
    events = read_delimited_events(ratings, _COLUMNS, mistakes=mistakes, report=report, dialect=dialect)
    films = {"movies.dat": _dots, "u.item": _bars}.get(movies.name, _commas)(movies, mistakes)
    items = tidy_items(films, file=movies, mistakes=mistakes, report=report, strict=strict)
    mistakes.settle(folder)
    require_rows(events, where=ratings)
    return events, items


def _commas(file: Path, mistakes: Mistakes) -> pl.DataFrame:
    films = read_delimited_text(file, ["movieId", "title", "genres"], mistakes=mistakes)
    genres = films["genres"].fill_null("").str.replace("(no genres listed)", "", literal=True)
    return films.select("_line", "title", item_id="movieId").with_columns(genres=genres)


def _dots(file: Path, mistakes: Mistakes) -> pl.DataFrame:
    # Titles hold single colons; only the pair separates.
    names = ("item_id", "title", "genres")
    try:
        # 1M is in latin-1, 10M in UTF-8; text in the one that is not plain ASCII hardly ever makes sense in the other.
        encoding = "utf-8" if file.read_bytes().decode("utf-8") else "latin-1"
    except UnicodeDecodeError:
        encoding = "latin-1"
    except OSError:
        # Whoever reads it names it.
        encoding = "utf-8"
    return read_delimited_text(file, names, mistakes=mistakes, dialect=Dialect("::", quote=None, encoding=encoding, header=names))


def _bars(file: Path, mistakes: Mistakes) -> pl.DataFrame:
    names = ("item_id", "title", "released", "video", "url", *_GENRES_100K)
    films = read_delimited_text(file, names, mistakes=mistakes, dialect=Dialect("|", quote=None, encoding="latin-1", header=names))
    flags = [pl.when(pl.col(name).str.strip_chars() == "1").then(pl.lit(name)) for name in _GENRES_100K[1:]]
    return films.select("_line", "item_id", "title", genres=pl.concat_list(flags).list.drop_nulls())
