"""Parquet files: their columns, their kinds, and damage said in one error."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import polars as pl

from score_rag.errors import DataError

__all__ = ["collect_parquet", "parquet_names", "require_kinds"]

# Damaged Parquet makes its reader panic, which is no ordinary exception.
_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)


def _parquet(file: Path) -> pl.LazyFrame:
    # A file's name is a name, never a pattern, and a folder called `year=2020` is no column.
    return pl.scan_parquet(file, glob=False, hive_partitioning=False)


def parquet_names(file: Path) -> list[str]:
    """Column names.

    Raises:
        DataError: It is torn or is no Parquet.
    """
    try:
        return list(_parquet(file).collect_schema())
    except _UNREADABLE as error:
        raise _unreadable(file, error) from error


def collect_parquet(file: Path, columns: Mapping[str, str]) -> pl.DataFrame:
    """Columns, our names to the file's.

    Raises:
        DataError: It is torn or is no Parquet.
    """
    try:
        return _parquet(file).select(pl.col(theirs).alias(name) for name, theirs in columns.items()).collect()
    except _UNREADABLE as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: BaseException) -> DataError:
    said = (str(error).splitlines() or ["nothing"])[0]
    return DataError("a data file cannot be read: it is torn or is no Parquet", where=file, expected="Parquet", found=said)


def require_kinds(frame: pl.DataFrame, file: Path, columns: Mapping[str, str], lists: Collection[str]) -> None:
    """Every column must be of a kind that a cell of text could tell; those of `lists` may be lists of them.

    Raises:
        DataError: Names the columns that are not.
    """
    wrong = []
    for name, kind in frame.schema.items():
        inner = kind.inner if name in lists and isinstance(kind, pl.List | pl.Array) else kind
        simple = inner.is_numeric() or inner in (pl.String, pl.Categorical, pl.Enum, pl.Boolean, pl.Date, pl.Datetime, pl.Null)
        if not simple:
            wrong.append(f"{columns[name]}: {kind}")
    if wrong:
        raise DataError("columns are of a kind that cannot be read", where=file, expected="text, numbers or dates", found=", ".join(wrong))
