"""goodbooks-10k as published: ratings.csv and books.csv, with genres out of readers' tags where book_tags.csv and tags.csv are there."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from score_rag.data.catalogue import tidy_items
from score_rag.data.delimited import read_delimited_events, read_delimited_text
from score_rag.data.dialect import read_header
from score_rag.data.folders import first_there
from score_rag.data.mistakes import Mistakes, require_rows
from score_rag.data.report import DataReport

__all__ = ["goodbooks_files", "read_goodbooks"]

_CALLED = {"year": "original_publication_year", "creators": "authors"}
_RATINGS = {"user_id": "user_id", "item_id": "book_id", "rating": "rating"}
_GENRES = (
    "art", "biography", "business", "chick-lit", "children", "christian", "classics", "comics", "contemporary", "cookbooks", "crime",
    "dystopia", "fantasy", "graphic-novels", "historical-fiction", "history", "horror", "humor", "manga", "memoir", "music", "mystery",
    "non-fiction", "paranormal", "philosophy", "poetry", "psychology", "religion", "romance", "science", "science-fiction", "self-help",
    "short-stories", "spirituality", "sports", "suspense", "thriller", "travel", "urban-fantasy", "war", "young-adult",
)  # fmt: skip
"""Readers' tags that name a genre; most others name a shelf (to-read, owned, favorites)."""
_SPELLINGS = {"nonfiction": "non-fiction", "sci-fi": "science-fiction", "ya": "young-adult", "memoirs": "memoir", "childrens": "children"}
_MOST_GENRES = 3


def goodbooks_files(folder: Path) -> list[Path]:
    """ratings.csv, books.csv, and the files of tags where both are there.

    Raises:
        DataError: Ratings or books are missing.
    """
    found = [first_there(folder, (name,), "goodbooks-10k", "ratings.csv and books.csv") for name in ("ratings.csv", "books.csv")]
    tags = [folder / name for name in ("book_tags.csv", "tags.csv")]
    return [*found, *(tags if all(file.is_file() for file in tags) else [])]


def read_goodbooks(folder: Path, *, report: DataReport, strict: bool = False) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(events, items): ratings of 1 to 5 in the order of the file, without times; titles, authors, the year of the first edition, genres.
    Years before Christ are no year of ours.

    Raises:
        DataError: A file is missing or has malformed rows.
    """
    ratings, books, *tags = goodbooks_files(folder)
    mistakes = Mistakes()
    events = read_delimited_events(ratings, _RATINGS, mistakes=mistakes, report=report)
    # The first edition of the set calls the id that ratings have `id`, and Goodreads' own `book_id`.
    own, goodreads = ("id", "book_id") if "id" in read_header(books, {}) else ("book_id", "goodreads_book_id")
    text = read_delimited_text(books, [own, goodreads, "title", "authors", "original_publication_year"], mistakes=mistakes)
    items = text.select(
        "_line",
        pl.col("title").fill_null(pl.col("original_title")) if "original_title" in text.columns else "title",
        item_id=own,
        goodreads=goodreads,
        year="original_publication_year",
        creators=pl.col("authors").str.split(", "),
    )
    if tags:
        items = items.join(_genres(tags[0], tags[1], mistakes), on="goodreads", how="left", maintain_order="left")
    catalogue = tidy_items(items.drop("goodreads"), file=books, mistakes=mistakes, report=report, called=_CALLED, strict=strict)
    mistakes.settle(folder)
    require_rows(events, where=ratings)
    return events, catalogue


def _genres(book_tags: Path, tags: Path, mistakes: Mistakes) -> pl.DataFrame:
    """Goodreads' id of a book, and the genres that most readers gave it."""
    names = read_delimited_text(tags, ["tag_id", "tag_name"], mistakes=mistakes)
    known = names.select("tag_id", genre=pl.col("tag_name").str.to_lowercase().replace(_SPELLINGS)).filter(pl.col("genre").is_in(_GENRES))
    given = read_delimited_text(book_tags, ["goodreads_book_id", "tag_id", "count"], mistakes=mistakes).join(known, on="tag_id")
    counts = given.group_by("goodreads_book_id", "genre").agg(pl.col("count").cast(pl.Int64, strict=False).sum())
    best = counts.sort(["goodreads_book_id", "count", "genre"], descending=[False, True, False])
    return best.group_by("goodreads_book_id").agg(genres=pl.col("genre").head(_MOST_GENRES)).rename({"goodreads_book_id": "goodreads"})
