"""Parquet files: their columns, their kinds, and damage said in one error."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import polars as pl

from score_rag.data.report import DataReport
from score_rag.data.whole_ids import DECIMAL
from score_rag.errors import DataError

__all__ = ["as_text", "collect_parquet", "parquet_names", "require_kinds", "unreadable_kinds"]

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


def unreadable_kinds(frame: pl.DataFrame, lists: Collection[str]) -> list[str]:
    """Columns of kinds that no cell of text could tell; those of `lists` may be lists of others."""
    wrong = []
    for name, kind in frame.schema.items():
        inner = kind.inner if name in lists and isinstance(kind, pl.List | pl.Array) else kind
        simple = inner.is_numeric() or inner in (pl.String, pl.Categorical, pl.Enum, pl.Boolean, pl.Date, pl.Datetime, pl.Null)
        if not simple:
            wrong.append(name)
    return wrong


def require_kinds(frame: pl.DataFrame, file: Path, columns: Mapping[str, str], lists: Collection[str]) -> None:
    """Every column must be of a kind that a cell of text could tell; those of `lists` may be lists of them.

    Raises:
        DataError: Names the columns that are not.
    """
    wrong = [f"{columns[name]}: {frame.schema[name]}" for name in unreadable_kinds(frame, lists)]
    if wrong:
        raise DataError("columns are of a kind that cannot be read", where=file, expected="text, numbers or dates", found=", ".join(wrong))


def as_text(frame: pl.DataFrame, report: DataReport) -> pl.DataFrame:
    """Every cell as text, lists as lists of text, and the row's number as its line; ids stored as decimals (1.0) are whole numbers."""
    for name in {"user_id", "item_id"} & set(frame.columns):
        told = frame[name].drop_nulls()
        if told.dtype.is_float() and len(told) and bool(((told == told.floor()) & (told.abs() < 2**53)).all()):
            report.decide(DECIMAL, len(told))
            frame = frame.with_columns(pl.col(name).cast(pl.Int64))
    lists = [name for name, kind in frame.schema.items() if isinstance(kind, pl.List | pl.Array)]
    times = [name for name, kind in frame.schema.items() if isinstance(kind, pl.Datetime) and kind.time_zone is not None]
    frame = frame.with_columns(pl.col(name).dt.convert_time_zone("UTC").dt.replace_time_zone(None) for name in times)
    return frame.cast({name: pl.List(pl.String()) if name in lists else pl.String() for name in frame.columns}).with_row_index(
        "_line", offset=1
    )
