"""One of n shards: how it is written, what its files are called, and which rows are its own."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from score_rag.errors import InputError

__all__ = ["Shard", "batch_of", "shard_of"]

_MOST = 100_000
"""Shards; five digits name them."""


@dataclass(frozen=True)
class Shard:
    """Shard `index` of `of`, counted from 0.

    >>> Shard.parse("3/16").name
    'part-00003-of-00016'
    """

    index: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read `3/16`.

        Raises:
            InputError: It is of another form, or there is no such shard.
        """
        found = re.fullmatch(r"\s*(\d{1,6})\s*/\s*(\d{1,6})\s*", text, re.ASCII)
        index, of = (int(found[1]), int(found[2])) if found else (0, 0)
        if not found or not 0 <= index < of < _MOST:
            raise InputError("there is no such shard", where="--shard", expected=f"i/n with 0 <= i < n < {_MOST}, such as 0/16", found=text)
        return cls(index, of)

    def __str__(self) -> str:
        return f"{self.index}/{self.of}"

    @property
    def name(self) -> str:
        """What its part is called, without an ending."""
        return self.named("part", "")

    @property
    def part(self) -> str:
        """The file of its rows."""
        return f"{self.name}.parquet"

    @property
    def errors(self) -> str:
        """The file of rows that failed."""
        return self.named("errors", ".parquet")

    def named(self, kind: str, suffix: str) -> str:
        """A file of its own.

        >>> Shard(3, 16).named("spend", ".jsonl")
        'spend-00003-of-00016.jsonl'
        """
        return f"{kind}-{self.index:05d}-of-{self.of:05d}{suffix}"

    @property
    def record(self) -> str:
        """The file that says that it is done; written last."""
        return f"{self.name}.json"

    @property
    def scratch(self) -> str:
        """What the folder of what is under way begins with."""
        return f".{self.name}"


def batch_of(groups: Sequence[str], batches: int) -> np.ndarray:
    """int64 [n]: the batch of each group (a user, say), by a hash that is the same everywhere and always.

    Rows are computed a batch at a time, and batches are numbered over the whole input. So what a row is computed together with, and with
    it the last bits of its numbers, does not depend on how many shards there are.

    >>> batch_of(["1", "2", "1"], 1000).tolist()
    [986, 963, 986]
    """
    hashed = [int.from_bytes(hashlib.blake2b(group.encode(), digest_size=4).digest()) for group in groups]
    return (np.array(hashed, dtype=np.uint64) * np.uint64(batches) >> np.uint64(32)).astype(np.int64)


def shard_of(batch: np.ndarray, batches: int, shards: int) -> np.ndarray:
    """int64 [n]: the shard of each batch; a shard has consecutive batches, and all shards as many (to one).

    >>> shard_of(np.arange(5), 5, 2).tolist()
    [0, 0, 0, 1, 1]
    """
    return batch * shards // batches
