"""What an actor on a node does: makes the job once, then one shard after another, and tells how far it is."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from pathlib import Path

from score_rag.errors import InputError, ScoreError
from score_rag.shards.job import Job
from score_rag.shards.order import Order
from score_rag.shards.shard import Shard
from score_rag.shards.work import Done, run_shard

__all__ = ["ShardWorker", "Told"]

Told = tuple[int, str, int, int]
"""(how often something was reported, what, done, total)."""

_PATIENCE = 5.0
"""Seconds in which a file that another node wrote has to be seen; network file systems remember for some time what was not there."""


class ShardWorker:
    """Plain Python; a Ray actor is made of it.

    Args:
        output: The folder of all shards, absolute.
        token: The name of a file there that the driver wrote, and what it wrote.
        patience: Seconds to wait for that file.
    """

    def __init__(self, order: Order, output: Path, token: tuple[str, str], *, patience: float = _PATIENCE) -> None:
        self._order, self._output, self._token, self._patience = order, output, token, patience
        self._job: Job | None = None
        self._told: Told = (0, "starting", 0, 1)

    def told(self) -> Told:
        """How far it is; called while `work` runs."""
        return self._told

    def work(self, shard: Shard, *, batch_rows: int, checkpoint: float) -> Done | ScoreError:
        """Do one shard. An error of ours is returned, since as an exception it would come back as one of Ray's."""
        try:
            if self._job is None:
                self.see_folder()
                self._job = self._order.make(report=self._note)
            return run_shard(self._job, shard, self._output, batch_rows=batch_rows, checkpoint=checkpoint, report=self._note)
        except ScoreError as error:
            return error

    def see_folder(self) -> None:
        """Look whether this node sees the driver's files.

        Raises:
            InputError: It does not.
        """
        name, content = self._token
        wanted: dict[Path, Callable[[Path], bool]] = {self._output / name: lambda file: file.read_text(encoding="utf-8") == content}
        if self._order.source is not None:
            wanted[self._order.source] = lambda file: True
        until = time.monotonic() + self._patience
        for path, right in wanted.items():
            while not (path.exists() and right(path)):
                if time.monotonic() > until:
                    raise InputError(
                        "a node of the cluster does not see the driver's files",
                        where=path,
                        expected="one file system for run, input and output, at the same path on every node",
                        found=f"not there on node {platform.node()}",
                        hint="mount it on every node; or use --shard on each machine, and bring the parts together",
                    )
                time.sleep(0.2)

    def _note(self, what: str, done: int, total: int) -> None:
        self._told = (self._told[0] + 1, what, done, total)
