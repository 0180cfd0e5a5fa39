"""A shard's own rows: found in the input, checked, and laid down in the order in which they are worked on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from score_rag.errors import DataError
from score_rag.progress import Report, silent
from score_rag.shards.columns import put_parquet
from score_rag.shards.job import Job
from score_rag.shards.shard import Shard, batch_of, shard_of
from score_rag.shards.source import INPUT_ROW

__all__ = ["BATCH", "Plan", "make_plan"]

BATCH = "_batch"
_GROUP = "_group"
_FILE = "rows.parquet"
_ROW_GROUP = 16_384
_READ = 8192


@dataclass(frozen=True)
class Plan:
    """Rows of a shard, in batches.

    Attributes:
        file: The rows, batch after batch.
        edges: Where batches begin in it, and where the last one ends.
    """

    file: Path
    edges: list[int]

    @property
    def rows(self) -> int:
        return self.edges[-1]

    def batches(self, first: int = 0) -> Iterator[tuple[int, pl.DataFrame]]:
        """(number, rows) of each batch from `first` on; some thousand rows are read at a time."""
        last = len(self.edges) - 1
        while first < last:
            end, start = first + 1, self.edges[first]
            while end < last and self.edges[end + 1] - start <= _READ:
                end += 1
            rows = pl.scan_parquet(self.file).slice(start, self.edges[end] - start).collect().drop(BATCH)
            for number, (one, two) in enumerate(pairwise(self.edges[first : end + 1]), start=first):
                yield number, rows[one - start : two - start]
            first = end


def make_plan(job: Job, shard: Shard, folder: Path, *, batch_rows: int, report: Report = silent) -> Plan:
    """Find a shard's rows, or those that an earlier call had found.

    Memory: the ids of the shard's rows and the input's distinct groups; the input itself is streamed.

    Args:
        folder: The shard's scratch.
        batch_rows: Rows a batch, in the mean; one of more than four times as many is cut.

    Raises:
        DataError: Two rows have the same key.
    """
    file = folder / _FILE
    if not file.is_file():
        report("finding the shard's rows", 0, 1)
        batches = max(1, math.ceil(job.source.rows / batch_rows))
        rows = _rows(job, shard, batches)
        put_parquet(
            file,
            lambda aside: rows.sink_parquet(aside, row_group_size=_ROW_GROUP),
            check=lambda aside: require_unique(job, pl.scan_parquet(aside)),
        )
        report("finding the shard's rows", 1, 1)
    numbers = pl.read_parquet(file, columns=[BATCH])[BATCH].to_numpy()
    return Plan(file, ([0, len(numbers)] if len(numbers) else [0]) if job.whole else _edges(numbers, 4 * batch_rows))


def _rows(job: Job, shard: Shard, batches: int) -> pl.LazyFrame:
    """The shard's rows of the input, in the order of work."""
    # Rows without a group fail; until then they have a place like all others.
    group = pl.col(job.group).cast(pl.String).fill_null("")
    groups = job.source.scan().select(group.alias(_GROUP)).unique().collect(engine="streaming")[_GROUP]
    numbers = batch_of(groups.to_list(), batches)
    own = shard_of(numbers, batches, shard.of) == shard.index
    mine = pl.LazyFrame({_GROUP: groups.filter(pl.Series(own)), BATCH: pl.Series(numbers[own], dtype=pl.Int64)})
    found = job.source.scan().with_columns(group.alias(_GROUP)).join(mine, on=_GROUP, how="inner")
    return found.sort(BATCH, _GROUP, *job.order, INPUT_ROW).drop(_GROUP)


def require_unique(job: Job, rows: pl.LazyFrame, *, whole: bool = False) -> None:
    """See that no two rows have the same key. Rows of one key have one group, so each shard can check its own.

    Args:
        whole: Whether these are all rows of the input, before anything is done.

    Raises:
        DataError: Two have.
    """
    key = list(job.key)
    twice = (
        rows.filter(pl.all_horizontal(pl.col(name).is_not_null() for name in job.key if name not in job.order))
        .group_by(key)
        .agg(pl.col(INPUT_ROW).sort())
        .filter(pl.col(INPUT_ROW).list.len() > 1)
        .sort(pl.col(INPUT_ROW).list.first())
        .collect(engine="streaming")
    )
    if len(twice):
        told = [f"{', '.join(map(str, row[:-1]))} in rows {', '.join(map(str, row[-1][:3]))}" for row in twice.head(3).iter_rows()]
        raise DataError(
            f"{len(twice):,} ids of {'the input' if whole else 'this shard'} name several rows",
            where=job.source.files[0] if len(job.source.files) == 1 else job.source.files[0].parent,
            expected=f"each ({', '.join(key)}) once",
            found="; ".join(told) + " (counted from 0)",
            hint="drop the repeated rows; "
            + ("nothing was written" if whole else "the corrected input is another job: give it another folder, other shards included"),
        )


def _edges(numbers: np.ndarray, most: int) -> list[int]:
    """Where batches begin: where the number changes, and inside one that is too long.

    >>> _edges(np.array([3, 3, 3, 3, 3, 7]), 2)
    [0, 2, 4, 5, 6]
    """
    changes = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)] if len(numbers) else [0]
    return [edge for one, two in pairwise(changes) for edge in range(one, two, most)] + changes[-1:]
