"""Sources of interactions, behind one function."""

from __future__ import annotations

from pathlib import Path

from score_rag.data.interactions import Event, Interactions, Item, UserLog
from score_rag.data.split import split_events
from score_rag.errors import DataError, InputError, did_you_mean

__all__ = ["SOURCES", "Event", "Interactions", "Item", "UserLog", "read_source", "source_files", "split_events"]

SOURCES = {
    "sample": "the bundled catalogue of 500 films, judged by 600 simulated users",
    "movielens-csv": "MovieLens ratings.csv and movies.csv (ml-latest-small, ml-latest, ml-25m, ml-32m)",
    "table": "your own interactions and items, as CSV or Parquet",
}


def read_source(source: str, path: Path | str | None = None, *, threshold: float = 4.0, seed: int = 0) -> Interactions:
    """Read a source into the one table.

    Args:
        source: One of `SOURCES`.
        path: The folder of its files (not for `sample`).
        threshold: Least rating that counts as liked.
        seed: For `sample`: which simulated world.

    Raises:
        InputError: An unknown source, or no path.
        DataError: A file is missing or malformed.
    """
    if source not in SOURCES:
        raise InputError(f"there is no data source {source!r}", hint=did_you_mean(source, SOURCES))
    if source == "sample":
        from score_rag.data.sample import simulate

        return simulate(seed)
    if path is None:
        raise InputError(
            f"the source {source!r} needs to know where its files are", expected="a folder", found="none", hint="--set data.path=FOLDER"
        )
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise DataError("the data folder is not there", where=folder, hint="--set data.path=FOLDER")
    if source == "movielens-csv":
        from score_rag.data.movielens import read_movielens_csv

        return read_movielens_csv(folder, threshold=threshold)
    from score_rag.data.generic import read_tables

    return read_tables(folder, threshold=threshold)


def source_files(source: str, path: Path | str | None) -> list[Path]:
    """The files that a source reads, for noticing that one changed."""
    if source == "sample":
        from score_rag.data.sample import FILMS

        return [FILMS]
    folder = Path(path).expanduser() if path is not None else None
    if folder is None or not folder.is_dir():
        return []
    names = (
        ("ratings.csv", "movies.csv")
        if source == "movielens-csv"
        else tuple(f"{name}.{kind}" for name in ("interactions", "items") for kind in ("parquet", "csv"))
    )
    return [folder / name for name in names if (folder / name).is_file()]
