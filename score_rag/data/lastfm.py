"""Last.fm of HetRec 2011 (hetrec2011-lastfm-2k): who played which artist how often, and the tags that listeners gave artists."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from score_rag.data.catalogue import tidy_items
from score_rag.data.delimited import read_delimited_text
from score_rag.data.dialect import Dialect
from score_rag.data.folders import first_there
from score_rag.data.mistakes import Mistakes, require_rows
from score_rag.data.report import DataReport
from score_rag.data.table import parse_events

__all__ = ["lastfm_files", "read_lastfm"]

_UTF8 = Dialect("\t", quote=None)
_LATIN = Dialect("\t", quote=None, encoding="latin-1")
_PLAYS = {"user_id": "userID", "item_id": "artistID"}
_MOST_GENRES = 3


def lastfm_files(folder: Path) -> list[Path]:
    """user_artists.dat, artists.dat, and the files of tags where both are there.

    Raises:
        DataError: Plays or artists are missing.
    """
    names = ("user_artists.dat", "artists.dat")
    found = [first_there(folder, (name,), "Last.fm data of HetRec 2011", " and ".join(names)) for name in names]
    tags = [folder / name for name in ("user_taggedartists.dat", "tags.dat")]
    return [*found, *(tags if all(file.is_file() for file in tags) else [])]


def read_lastfm(folder: Path, *, report: DataReport) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(events, items): a user's artists as implicit positives, and artists with their commonest tags as genres.

    There are no times. A user's artists stand in the order of the file, the most played first.

    Raises:
        DataError: A file is missing or has malformed rows.
    """
    plays, artists, *tags = lastfm_files(folder)
    mistakes = Mistakes()
    text = read_delimited_text(plays, [*_PLAYS.values(), "weight"], mistakes=mistakes, dialect=_UTF8)
    count = text["weight"].cast(pl.Int64, strict=False)
    mistakes.add(text, (count < 0).fill_null(True), "weight", file=plays, expected="a number of plays")
    cells = text.select("_line", **{ours: pl.col(theirs) for ours, theirs in _PLAYS.items()})
    report.rows_read += len(cells)
    report.drop("an artist that was never played", int((count == 0).sum()))
    events = parse_events(cells.filter(count.fill_null(1) != 0), file=plays, mistakes=mistakes, report=report, called=_PLAYS)
    report.warn("a user's artists are in the order of plays, not of time: what is held out as their last is what they played least")
    items = read_delimited_text(artists, ["id", "name"], mistakes=mistakes, dialect=_UTF8).select("_line", item_id="id", title="name")
    if tags:
        items = items.join(_genres(tags[0], tags[1], mistakes), on="item_id", how="left", maintain_order="left")
    catalogue = tidy_items(items, file=artists, mistakes=mistakes, report=report)
    mistakes.settle(folder)
    require_rows(events, where=plays)
    return events, catalogue


def _genres(given: Path, tags: Path, mistakes: Mistakes) -> pl.DataFrame:
    """The tags that most listeners gave an artist."""
    names = read_delimited_text(tags, ["tagID", "tagValue"], mistakes=mistakes, dialect=_LATIN).select("tagID", genre="tagValue")
    pairs = read_delimited_text(given, ["userID", "artistID", "tagID"], mistakes=mistakes, dialect=_UTF8).join(names, on="tagID")
    counts = pairs.group_by("artistID", "genre").agg(users=pl.col("userID").n_unique())
    best = counts.sort(["artistID", "users", "genre"], descending=[False, True, False])
    return best.group_by("artistID").agg(genres=pl.col("genre").head(_MOST_GENRES)).rename({"artistID": "item_id"})
