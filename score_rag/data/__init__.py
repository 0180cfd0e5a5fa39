"""Sources of interactions, behind one function."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from score_rag.data.interactions import Interactions
from score_rag.data.log import Event, Item, UserLog
from score_rag.data.prepare import prepare
from score_rag.data.report import DataReport
from score_rag.errors import ChangeSetting, DataError, InputError, did_you_mean
from score_rag.progress import Report, silent

__all__ = ["SOURCES", "DataReport", "Event", "Interactions", "Item", "UserLog", "load", "prepare", "read_source", "source_files"]

SOURCES = {
    "sample": "the bundled catalogue of 500 films, judged by 600 simulated users",
    "movielens": "MovieLens as published: ml-latest(-small), ml-25m, ml-32m (csv), ml-1m, ml-10m (::), ml-100k (u.data)",
    "amazon": "Amazon reviews of 2014, 2018 or 2023 (JSON lines, gzipped or not) beside their metadata, any category",
    "recbole": "RecBole atomic files, .inter (one event or one sequence a row) and .item",
    "table": "your own interactions and items: CSV, TSV, Parquet or JSON lines, columns named as you like",
}


def load(
    source: str,
    path: Path | str | None = None,
    *,
    seed: int = 0,
    reading: Mapping[str, Any] | None = None,
    progress: Report = silent,
    **preparing: Any,
) -> tuple[Interactions, DataReport]:
    """Read a source and prepare it: the one table, and the account of how it came about.

    Args:
        source: One of `SOURCES`.
        path: The folder of its files (not for `sample`).
        seed: Of the simulated sample, and of all draws.
        reading: As `read_source` takes it: file and column names.
        progress: Told how far the work is.
        preparing: As `prepare` takes it: threshold, split, negatives, ...

    Raises:
        InputError: An unknown source or setting.
        DataError: A file is missing or malformed.
    """
    report = DataReport(source)
    progress("reading data", 0, 2)
    events, items = read_source(source, path, report=report, seed=seed, progress=progress, **(reading or {}))
    progress("reading data", 1, 2)
    interactions = prepare(events, items, report=report, seed=seed, **preparing)
    progress("reading data", 2, 2)
    return interactions, report


def read_source(
    source: str,
    path: Path | str | None = None,
    *,
    report: DataReport,
    seed: int = 0,
    interactions: str | None = None,
    items: str | None = None,
    progress: Report = silent,
    **columns: Any,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(events, items) as a source says them: ids, label or rating, times and split if it has them; nothing filtered or sorted.

    Args:
        source: One of `SOURCES`.
        path: The folder of its files (not for `sample`).
        report: Takes the number of rows read, and decisions.
        seed: For `sample`: which simulated world.
        interactions: Name of the file of events, where the usual one is not meant (amazon, recbole, table).
        items: Name of the catalogue's file, likewise.
        progress: Told how far the simulation of the sample is.
        columns: For `table`: as `read_tables` takes them.

    Raises:
        InputError: An unknown source, no path, or settings that the source does not have.
        DataError: A file is missing or malformed.
    """
    if source not in SOURCES:
        raise InputError(f"there is no data source {source!r}", hint=did_you_mean(source, SOURCES))
    if source == "sample":
        from score_rag.data.sample import simulate

        world = simulate(seed, progress=progress)
        report.rows_read += len(world.events)
        return world.events.select("user_id", "item_id", "label", "timestamp"), world.items
    folder = _folder(source, path)
    if source == "movielens":
        from score_rag.data.movielens import read_movielens

        return read_movielens(folder, report=report)
    if source == "amazon":
        from score_rag.data.amazon import read_amazon

        return read_amazon(folder, report=report, interactions=interactions, items=items)
    if source == "recbole":
        from score_rag.data.recbole import read_recbole

        return read_recbole(folder, report=report, interactions=interactions, items=items)
    from score_rag.data.generic import read_tables

    return read_tables(folder, report=report, interactions=interactions, items=items, **columns)


def source_files(source: str, path: Path | str | None, interactions: str | None = None, items: str | None = None) -> list[Path]:
    """The files that a source reads, for noticing that one changed; none where it was not told where they are.

    Raises:
        DataError: The folder, or a file in it, is not there.
    """
    if source == "sample":
        from score_rag.data.sample import FILMS

        return [FILMS]
    if path is None:
        return []
    folder = _folder(source, path)
    if source == "movielens":
        from score_rag.data.movielens import movielens_files

        found = list(movielens_files(folder))
    elif source == "amazon":
        from score_rag.data.amazon import amazon_files

        found = list(amazon_files(folder, interactions, items))
    elif source == "recbole":
        from score_rag.data.recbole import recbole_files

        several, one = recbole_files(folder, interactions, items)
        found = [*several, one]
    else:
        from score_rag.data.generic import table_files

        found = list(table_files(folder, interactions, items))
    lost = [file for file in found if not file.is_file()]
    if lost:
        raise DataError(
            "a data file is missing", where=lost[0], hint="say where the data is", remedy=ChangeSetting({"data.path": "FOLDER"})
        )
    return found


def _folder(source: str, path: Path | str | None) -> Path:
    if path is None:
        raise InputError(
            f"the source {source!r} needs to know where its files are",
            expected="a folder",
            found="none",
            remedy=ChangeSetting({"data.path": "FOLDER"}),
        )
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise DataError("the data folder is not there", where=folder, remedy=ChangeSetting({"data.path": "FOLDER"}))
    return folder
