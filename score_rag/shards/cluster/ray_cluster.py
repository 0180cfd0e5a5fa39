"""Ray, as far as it is needed: connected quietly, its room counted, actors made."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from score_rag.extras import names_extras
from score_rag.files.home import HOME, home
from score_rag.shards.cluster.errors import ClusterError
from score_rag.shards.cluster.worker import ShardWorker

__all__ = ["connected", "count_places", "new_actor"]

_REACH = 5.0
"""Seconds in which a cluster's address has to answer; Ray itself would try for minutes."""


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """The module `ray`, connected: to an address, to `RAY_ADDRESS`, or to a Ray of one's own on this machine alone.

    A program that is connected already stays so. Nothing is told to anybody about how Ray is used.

    Raises:
        MissingPackageError: Ray is not installed.
        ClusterError: It cannot be reached.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    with names_extras():
        import ray
    if ray.is_initialized():
        yield ray
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    _reach(address)
    own: dict[str, Any] = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError, OSError) as error:
        raise _unreachable(address, (str(error).splitlines() or [type(error).__name__])[0]) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def count_places(nodes: list[dict[str, Any]], *, cpus: float, gpus: float) -> int:
    """How many actors the living nodes have room for. A node that has room for several keeps a core free for other work.

    Raises:
        ClusterError: None has room for one.

    >>> four = {"Alive": True, "Resources": {"CPU": 4.0}}
    >>> count_places([four, {"Alive": True, "Resources": {"CPU": 1.0}}, {"Alive": False, "Resources": {"CPU": 64.0}}], cpus=1, gpus=0)
    4
    >>> count_places([four | {"Resources": {"CPU": 4.0, "GPU": 2.0}}, four], cpus=1, gpus=1)
    2
    """
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    places = 0
    for has in alive:
        room = has.get("CPU", 0.0)
        if room >= cpus and has.get("GPU", 0.0) >= gpus:
            most = max(1, int((room - 1) / cpus)) if cpus else len(nodes)
            places += min(most, int(has["GPU"] / gpus)) if gpus else most
    if not places:
        largest = ", ".join(f"{has.get('CPU', 0):g} cores and {has.get('GPU', 0):g} GPUs" for has in alive[:4]) or "no node"
        raise ClusterError(
            "no node of the cluster has room for a shard",
            where="--cpus-per-shard, --gpus-per-shard",
            expected=f"a node of {cpus:g} cores and {gpus:g} GPUs",
            found=largest,
        )
    return places


def new_actor(ray: Any, *given: Any, cpus: float, gpus: float) -> Any:
    """A `ShardWorker` somewhere in the cluster, spread over its nodes; not restarted by Ray, whose next try would be ours to count."""
    environment = {HOME: str(home().resolve()), "OMP_NUM_THREADS": str(max(1, int(cpus))), "OMP_WAIT_POLICY": "PASSIVE"}
    kind = ray.remote(concurrency_groups={"telling": 1})(ShardWorker)
    options = {"num_cpus": cpus, "num_gpus": gpus, "max_restarts": 0, "scheduling_strategy": "SPREAD"}
    return kind.options(**options, runtime_env={"env_vars": environment}).remote(*given)


def _reach(address: str) -> None:
    found = re.fullmatch(r"(?:ray://)?([\w.-]+):(\d+)", address)
    if found is None:
        return
    try:
        socket.create_connection((found[1], int(found[2])), timeout=_REACH).close()
    except OSError as error:
        raise _unreachable(address, error.strerror or str(error)) from error


def _unreachable(address: str, reason: str) -> ClusterError:
    return ClusterError(
        "there is no Ray cluster at this address",
        where=address,
        expected="HOST:PORT of a running head node (ray start --head), typed on one of the cluster's nodes; or auto",
        found=reason,
        hint="without --ray-address and RAY_ADDRESS, a Ray of its own is started on this machine",
    )
