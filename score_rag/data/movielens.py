"""MovieLens as comma-separated files: `ml-latest`, `ml-latest-small`, `ml-25m`, `ml-32m`."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from score_rag.data.interactions import Interactions
from score_rag.data.table import Mistakes, read_delimited, to_number

__all__ = ["clean_titles", "read_movielens_csv"]

_ARTICLES = "The|A|An|La|Le|Les|Il|Lo|L'|Das|Der|Die|El|Los|Las|Un|Une|Den|Det"


def clean_titles(titles: pl.Series) -> tuple[pl.Series, pl.Series]:
    """(titles, years): `Usual Suspects, The (1995)` becomes `The Usual Suspects` and 1995.

    >>> [part.to_list() for part in clean_titles(pl.Series(["Heat (1995)", "Sting, The (1973)", "Babylon 5"]))]
    [['Heat', 'The Sting', 'Babylon 5'], [1995, 1973, None]]
    """
    text = titles.str.strip_chars()
    years = text.str.extract(r"\((\d{4})\)\s*$").cast(pl.Int32)
    bare = text.str.replace(r"\s*\(\d{4}\)\s*$", "")
    turned = bare.str.replace(rf"^(.*), ({_ARTICLES})( \(.*\))?$", "$2 $1$3")
    return turned, years


def read_movielens_csv(folder: Path, *, threshold: float) -> Interactions:
    """`ratings.csv` and `movies.csv`; liked means rated at least `threshold`.

    Raises:
        DataError: A file is missing or has malformed rows.
    """
    mistakes = Mistakes()
    file = folder / "ratings.csv"
    ratings = read_delimited(file, required=["userId", "movieId", "rating", "timestamp"])
    ratings = to_number(
        ratings,
        {"rating": (pl.Float64, "a number from 0.5 to 5"), "timestamp": (pl.Int64, "whole seconds since 1970")},
        file=file,
        mistakes=mistakes,
    )
    for column in ("userId", "movieId"):
        mistakes.add(ratings, ratings[column].is_null(), column, file=file, expected="an id")
    movies = read_delimited(folder / "movies.csv", required=["movieId", "title", "genres"])
    mistakes.add(movies, movies["title"].is_null(), "title", file=folder / "movies.csv", expected="a title")
    mistakes.settle(folder)
    titles, years = clean_titles(movies["title"])
    genres = movies["genres"].fill_null("").str.replace("(no genres listed)", "", literal=True).str.split("|")
    items = pl.DataFrame({"item_id": movies["movieId"], "title": titles, "year": years, "genres": genres}).with_columns(
        pl.col("genres").list.eval(pl.element().filter(pl.element() != ""))
    )
    events = ratings.select(user_id="userId", item_id="movieId", label=(pl.col("rating") >= threshold).cast(pl.Int8), timestamp="timestamp")
    return Interactions(events, items)
