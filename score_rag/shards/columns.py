"""Parquet files that are whole or not there."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from score_rag.files import share
from score_rag.shards.sorted import group_rows, sorted_together

__all__ = ["put_parquet", "put_sorted"]


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


def put_sorted(path: Path, files: Sequence[Path]) -> None:
    """Write files that are each in the order of the input as one in that order."""
    table = sorted_together(files)
    put_parquet(path, partial(table.sink_parquet, row_group_size=group_rows(table.collect_schema())))
