"""Parquet files that are whole or not there, and many sorted ones as one."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from score_rag.files import share
from score_rag.shards.source import INPUT_ROW

__all__ = ["put_parquet", "sorted_together"]


def put_parquet(path: Path, write: Callable[[Path], object], *, check: Callable[[Path], None] | None = None) -> None:
    """Write a file aside, flush it to disk, and move it into place.

    Args:
        path: Its place; the caller is its only writer.
        write: Writes it to the path that it is given.
        check: Raises where what was written must not be moved into place.
    """
    aside = path.with_name(f".{path.name}.tmp")
    try:
        write(aside)
        if check is not None:
            check(aside)
        with aside.open("rb") as stream:
            os.fsync(stream.fileno())
        share(aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def sorted_together(files: Sequence[Path]) -> pl.LazyFrame:
    """Files whose rows are each in the order of the input, as one table in that order; read side by side."""
    tables = [pl.scan_parquet(file) for file in files]
    while len(tables) > 1:
        # In pairs of pairs: as deep as the logarithm of their number.
        tables = [
            tables[at].merge_sorted(tables[at + 1], INPUT_ROW) if at + 1 < len(tables) else tables[at] for at in range(0, len(tables), 2)
        ]
    return tables[0]
