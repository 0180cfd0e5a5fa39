"""Many files, each in the order of the input, as one: a merge that holds a batch of each and no more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
from polars.io.plugins import register_io_source

from score_rag.shards.source import INPUT_ROW

__all__ = ["group_rows", "sorted_batches", "sorted_together"]

_GROUP_BYTES = 16_000_000
_MOST, _LEAST = 65_536, 1024


def group_rows(schema: pl.Schema) -> int:
    """Rows of a row group: at most 65,536, and of wide rows (vectors) as many as are 16 MB."""
    wide = sum(kind.size * 4 if isinstance(kind, pl.Array) else 64 for kind in schema.values())
    return min(max(_GROUP_BYTES // max(wide, 1), _LEAST), _MOST)


def sorted_together(files: Sequence[Path]) -> pl.LazyFrame:
    """Files whose rows are each in the order of the input, as one table in that order; its `sink_parquet` holds a batch of each file."""
    schema = pl.scan_parquet(files[0]).collect_schema()

    def batches(columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _size: int | None) -> Iterator[pl.DataFrame]:
        left = rows
        for batch in sorted_batches(files):
            batch = batch if columns is None else batch.select(columns)
            batch = batch if predicate is None else batch.filter(predicate)
            batch = batch if left is None else batch.head(left)
            yield batch
            if left is not None and (left := left - len(batch)) <= 0:
                return

    return register_io_source(batches, schema=schema)


def sorted_batches(files: Sequence[Path], *, rows: int | None = None) -> Iterator[pl.DataFrame]:
    """The rows of all files in the order of the input, some at a time.

    Args:
        files: Parquet files of one schema, each in that order; no row is in two of them.
        rows: Of each file at a time; by default a row group, as they are written here.
    """
    tables = [pl.scan_parquet(file) for file in files]
    rows = rows or group_rows(tables[0].collect_schema())
    places = [0] * len(tables)
    held: list[pl.DataFrame | None] = [None] * len(tables)

    def refill(number: int) -> None:
        more = tables[number].slice(places[number], rows).collect()
        places[number] += len(more)
        held[number] = more if len(more) else None

    for number in range(len(tables)):
        refill(number)
    while there := [number for number, batch in enumerate(held) if batch is not None]:
        # Up to the least of the last rows held nothing can come any more.
        until = min(held[number][INPUT_ROW][-1] for number in there)  # type: ignore[index]
        taken = []
        for number in there:
            batch = held[number]
            assert batch is not None
            end = int(batch[INPUT_ROW].search_sorted(until, side="right"))
            taken.append(batch[:end])
            if end == len(batch):
                refill(number)
            else:
                held[number] = batch[end:]
        yield pl.concat(taken).sort(INPUT_ROW)
