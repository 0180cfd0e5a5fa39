"""Where data can come from: each source once, with what reads it, which files it has, and which settings it takes.

Another package adds one by `register`, or by an entry point of the group `score_rag.sources` that names a `Source`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from score_rag.errors import ChangeSetting, DataError, InputError
from score_rag.files import at_home
from score_rag.progress import Report, silent
from score_rag.registry import Registry, load_object
from score_rag.settings import Settings

if TYPE_CHECKING:
    import polars as pl

    from score_rag.data.report import DataReport

__all__ = ["SOURCES", "Source", "read_source", "register", "source_files"]


@dataclass(frozen=True)
class Source:
    """A source of interactions.

    Attributes:
        about: What it reads, in a line.
        read: `read(folder, report=..., **settings)` gives (events, items) as the source says them: ids, label or rating, times and split
            if it has them; nothing filtered or sorted. Or where that function is, `package.module:name`.
        files: `files(folder, interactions=..., items=...)` gives the files that are read, for noticing that one changed (the two names only
            where `takes` has them). Or where that function is.
        takes: Which of the shared settings `interactions`, `items`, `columns`, ... it takes.
        settings: Settings of its own, which stand in the `data` section beside the shared ones.
        one_file: Whether a file may be named in place of a folder.
        needs_folder: Whether it reads a folder that the user names. Without, `read` and `files` get None for it, and `read` also `seed` and
            `progress`.
    """

    about: str
    read: Callable[..., tuple[pl.DataFrame, pl.DataFrame]] | str
    files: Callable[..., Sequence[Path]] | str
    takes: tuple[str, ...] = ()
    settings: type[Settings] = Settings
    needs_folder: bool = True
    one_file: bool = False


_NAMED = ("interactions", "items")
_TABLE = (
    "columns", "item_columns", "separator", "list_separator", "encoding", "quote", "header", "time_format", "time_zone", "decimal",
    "labels", "list_column", "strict",
)  # fmt: skip
_SHIPPED = {
    "sample": Source(
        "the bundled catalogue of 500 films, judged by 600 simulated users",
        "score_rag.data.sample:read_sample",
        "score_rag.data.sample:sample_files",
        needs_folder=False,
    ),
    "movielens": Source(
        "MovieLens as published: ml-latest(-small), ml-25m, ml-32m (csv), ml-1m, ml-10m (::), ml-100k (u.data)",
        "score_rag.data.movielens:read_movielens",
        "score_rag.data.movielens:movielens_files",
        takes=("strict",),
    ),
    "amazon": Source(
        "Amazon reviews of 2014, 2018 or 2023 (JSON lines, gzipped or not) beside their metadata, any category",
        "score_rag.data.amazon:read_amazon",
        "score_rag.data.amazon:amazon_files",
        takes=(*_NAMED, "strict"),
    ),
    "recbole": Source(
        "RecBole atomic files, .inter (one event or one sequence a row) and .item",
        "score_rag.data.recbole:read_recbole",
        "score_rag.data.recbole:listed_files",
        takes=(*_NAMED, "separator", "time_format", "time_zone", "strict"),
    ),
    "goodbooks": Source(
        "goodbooks-10k as published: ratings.csv, books.csv, with genres out of book_tags.csv and tags.csv",
        "score_rag.data.goodbooks:read_goodbooks",
        "score_rag.data.goodbooks:goodbooks_files",
        takes=("strict",),
    ),
    "book-crossing": Source(
        "Book-Crossing: BX-Book-Ratings.csv and BX-Books.csv as published, or Ratings.csv and Books.csv",
        "score_rag.data.book_crossing:read_book_crossing",
        "score_rag.data.book_crossing:book_crossing_files",
        takes=("strict",),
    ),
    "mind": Source(
        "MIND news, small or large: behaviors.tsv and news.tsv, of one folder or of several",
        "score_rag.data.mind:read_mind",
        "score_rag.data.mind:mind_files",
    ),
    "lastfm": Source(
        "Last.fm of HetRec 2011: user_artists.dat (plays are implicit positives), artists.dat, with genres out of listeners' tags",
        "score_rag.data.lastfm:read_lastfm",
        "score_rag.data.lastfm:lastfm_files",
    ),
    "tallrec": Source(
        "TALLRec's train.json, valid.json, test.json, of films or books",
        "score_rag.data.tallrec:read_tallrec",
        "score_rag.data.tallrec:tallrec_files",
    ),
    "steam": Source(
        "Steam's purchases and hours of play (steam-200k.csv: user, game, behaviour, value)",
        "score_rag.data.steam:read_steam",
        "score_rag.data.steam:steam_files",
        takes=("interactions",),
    ),
    "table": Source(
        "your own interactions and items: CSV, TSV, Parquet or JSON lines, columns named as you like",
        "score_rag.data.generic:read_tables",
        "score_rag.data.table_files:listed_files",
        takes=(*_NAMED, *_TABLE),
        one_file=True,
    ),
}


def _is_source(name: str, part: Any) -> Source:
    if not isinstance(part, Source):
        raise InputError(f"the data source {name!r} is none", expected="a score_rag.data.sources.Source", found=type(part).__name__)
    return part


SOURCES: Registry[Source] = Registry("data source", "score_rag.sources", _SHIPPED, check=_is_source)


def register(name: str, source: Source) -> None:
    """Add a source under the name that `data.source` says.

    Raises:
        InputError: The name is taken by another.
    """
    SOURCES.register(name, source)


def read_source(
    source: str, path: Path | str | None = None, *, report: DataReport, seed: int = 0, progress: Report = silent, **settings: Any
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(events, items) as a source says them; nothing filtered or sorted.

    Args:
        source: A name in `SOURCES`.
        path: The folder of its files (not for `sample`).
        report: Takes the number of rows read, and decisions.
        seed: For `sample`: which simulated world.
        progress: Told how far the simulation of the sample is.
        settings: Those that the source takes, its own among them.

    Raises:
        InputError: An unknown source, no path, or settings that the source does not have.
        DataError: A file is missing or malformed.
    """
    found = SOURCES[source]
    strangers = sorted(settings.keys() - {*found.takes, *found.settings.model_fields})
    if strangers:
        raise InputError(f"the source {source!r} has no setting {strangers[0]!r}", expected=", ".join(found.takes) or "none")
    read = load_object(found.read) if isinstance(found.read, str) else found.read
    more = {} if found.needs_folder else {"seed": seed, "progress": progress}
    events, items = read(_folder(source, path) if found.needs_folder else None, report=report, **more, **settings)
    return events, items


def source_files(source: str, path: Path | str | None, interactions: str | None = None, items: str | None = None) -> list[Path]:
    """The files that a source reads, for noticing that one changed; none where it was not told where they are.

    Raises:
        DataError: The folder, or a file in it, is not there.
    """
    found = SOURCES[source]
    if found.needs_folder and path is None:
        return []
    given = {"interactions": interactions, "items": items}
    named = {name: value for name, value in given.items() if name in found.takes}
    list_files = load_object(found.files) if isinstance(found.files, str) else found.files
    files = [Path(file) for file in list_files(_folder(source, path) if found.needs_folder else None, **named)]
    lost = [file for file in files if not file.is_file()]
    if lost:
        raise DataError(
            "a data file is missing", where=lost[0], hint="say where the data is", remedy=ChangeSetting({"data.path": "FOLDER"})
        )
    return files


def _folder(source: str, path: Path | str | None) -> Path:
    if path is None:
        raise InputError(
            f"the source {source!r} needs to know where its files are",
            expected="a folder",
            found="none",
            remedy=ChangeSetting({"data.path": "FOLDER"}),
        )
    folder = at_home(path)
    if not folder.is_dir() and not (SOURCES[source].one_file and folder.is_file()):
        raise DataError("the data folder is not there", where=folder, remedy=ChangeSetting({"data.path": "FOLDER"}))
    return folder
