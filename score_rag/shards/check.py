"""Whether all shards of a folder are there and are what they were, and hold every row of the input exactly once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from score_rag.progress import Report, silent
from score_rag.shards.manifest import read_manifest
from score_rag.shards.record import faults, stored_record
from score_rag.shards.shard import Shard
from score_rag.shards.source import INPUT_ROW

__all__ = ["ShardsReport", "check_shards", "shards_of"]

_BLOCK = 1_000_000


@dataclass(frozen=True)
class ShardsReport:
    """How the shards of a folder stand.

    Attributes:
        job: `score`, `embed` or `assess`.
        shards: How many there are to be.
        done: How many are whole.
        rows: Of the input.
        failed: Rows without a result, in `errors-*.parquet`.
        faults: By shard, what is wrong with it: not done, changed, of another job.
        missing: Rows of the input that no whole shard has.
        twice: Rows that are there more than once, or are not of the input.
    """

    job: str
    shards: int
    done: int
    rows: int
    failed: int
    faults: dict[str, str] = field(default_factory=dict)
    missing: int = 0
    twice: int = 0

    @property
    def ok(self) -> bool:
        """Whether every row is there once, with its result or the reason why it has none."""
        return not self.faults and not self.missing and not self.twice

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "ok": self.ok}


def shards_of(output: Path) -> list[Shard]:
    """All shards that a folder is to have.

    Raises:
        DataError: There is no manifest.
    """
    number = int(read_manifest(output)["facts"]["shards"])
    return [Shard(index, number) for index in range(number)]


def check_shards(output: Path | str, *, report: Report = silent) -> ShardsReport:
    """Read all shards, and compare them with what they say of themselves. Memory: a byte for each row of the input.

    Raises:
        DataError: There is no manifest, or it was changed.
    """
    output = Path(output)
    manifest = read_manifest(output)
    facts, shards = manifest["facts"], shards_of(output)
    rows = int(facts["input"]["rows"])
    seen = np.zeros(rows, dtype=bool)
    bad: dict[str, str] = {}
    failed = twice = 0
    for done, shard in enumerate(shards, start=1):
        if fault := faults(output, shard, manifest["fingerprint"]):
            bad[str(shard)] = fault
        else:
            record = stored_record(output, shard)
            failed += record.failed
            for name in (shard.part, *([shard.errors] if record.failed else [])):
                for numbers in _rows(output / name):
                    twice += _mark(seen, numbers)
        report("checking shards", done, len(shards))
    return ShardsReport(facts["job"], len(shards), len(shards) - len(bad), rows, failed, bad, int(rows - seen.sum()), twice)


def _rows(file: Path) -> Iterator[np.ndarray]:
    """The numbers of the input's rows in a file, a block at a time."""
    table = pl.scan_parquet(file).select(INPUT_ROW)
    length = int(table.select(pl.len()).collect().item())
    for start in range(0, length, _BLOCK):
        yield table.slice(start, _BLOCK).collect()[INPUT_ROW].to_numpy()


def _mark(seen: np.ndarray, numbers: np.ndarray) -> int:
    """Note rows as seen; how many had been, or are none.

    >>> seen = np.array([True, False, False])
    >>> _mark(seen, np.array([0, 1, 1, 7])), seen.tolist()
    (3, [True, True, False])
    """
    inside = numbers[(numbers >= 0) & (numbers < len(seen))]
    new = np.unique(inside)
    new = new[~seen[new]]
    seen[new] = True
    return len(numbers) - len(new)
