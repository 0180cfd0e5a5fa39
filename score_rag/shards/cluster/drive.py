"""All shards of a job on a Ray cluster: the same files as by `--shard`, the folder seen by all nodes or one clear error."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from score_rag.files import write_text
from score_rag.progress import Report, silent
from score_rag.shards.cluster.hand_out import HandOut
from score_rag.shards.cluster.ray_cluster import connected, count_places
from score_rag.shards.manifest import MANIFEST, read_manifest
from score_rag.shards.order import Order
from score_rag.shards.shard import Shard
from score_rag.shards.work import BATCH_ROWS, CHECKPOINT, Done

__all__ = ["TIMEOUT", "AllDone", "run_on_ray"]

TIMEOUT = 600.0
_A_PLACE = 4
"""Shards for each place, where nobody says how many: so that none waits long for the last one."""


@dataclass(frozen=True)
class AllDone:
    """All shards of a folder, done.

    Attributes:
        shards: In their order.
        tries: By shard, how often it was begun, where more than once.
    """

    output: Path
    shards: tuple[Done, ...]
    tries: dict[str, int]

    @property
    def rows(self) -> int:
        return sum(one.rows for one in self.shards)

    @property
    def failed(self) -> int:
        return sum(one.failed for one in self.shards)

    @property
    def errors(self) -> Path | None:
        """The first file of rows that failed."""
        return next((one.errors for one in self.shards if one.failed), None)

    @property
    def reason(self) -> str | None:
        """Why the first row that failed did."""
        return next((one.reason for one in self.shards if one.failed), None)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        counts = {"shards": len(self.shards), "rows": self.rows, "failed": self.failed, "skipped": sum(one.skipped for one in self.shards)}
        return {**counts, "tries": self.tries, "output": str(self.output)}


def run_on_ray(
    order: Order,
    output: Path | str,
    *,
    shards: int | None = None,
    address: str | None = None,
    cpus: float = 1.0,
    gpus: float | None = None,
    timeout: float = TIMEOUT,
    batch_rows: int = BATCH_ROWS,
    checkpoint: float = CHECKPOINT,
    report: Report = silent,
) -> AllDone:
    """Do all shards of a job on a Ray cluster; those that are done are skipped.

    Args:
        shards: How many; by default as many as the folder has, and in a new one four for each place.
        address: Of the cluster; None: `RAY_ADDRESS`, or a Ray of its own on this machine.
        cpus: Cores for each actor, and its threads.
        gpus: Likewise; None: one where the cluster has any, and none for assessments.
        timeout: Seconds without progress after which a shard counts as hanging.

    Raises:
        MissingPackageError: Ray is not installed.
        ClusterError: It cannot be reached, or no node has room.
        StalledShardError: No progress of a shard for `timeout` seconds.
        LostShardError: A shard's actors died three times, or it failed as none of our errors.
        SpendLimitError: A shard reached its limit; the others are done.
        ScoreError: What `run_shard` raises; then all actors are stopped, and what they wrote down is kept.
    """
    output = Path(output).resolve()
    file = Path(order.pipeline)
    order = replace(
        order,
        pipeline=str(file.resolve()) if file.is_file() else order.pipeline,
        source=None if order.source is None else order.source.resolve(),
    )
    output.mkdir(parents=True, exist_ok=True)
    token = f".shared-{secrets.token_hex(8)}", secrets.token_hex(16)
    with connected(address) as ray:
        if gpus is None:
            gpus = 1.0 if order.kind != "assess" and ray.cluster_resources().get("GPU") else 0.0
        room = {"cpus": cpus, "gpus": gpus}
        places = count_places(ray.nodes(), **room)
        number = shards or (int(read_manifest(output)["facts"]["shards"]) if (output / MANIFEST).is_file() else _A_PLACE * places)
        work = {"batch_rows": batch_rows, "checkpoint": checkpoint}
        driver = HandOut(ray, (order, output, token), room=room, work=work, timeout=timeout, report=report)
        write_text(output / token[0], token[1])
        try:
            found = driver.run([Shard.parse(f"{index}/{number}") for index in range(number)])
        finally:
            driver.stop()
            (output / token[0]).unlink(missing_ok=True)
    again = sorted((shard.index, str(shard), count) for shard, count in driver.tries.items() if count > 1)
    return AllDone(output, tuple(found), {name: count for _, name, count in again})
