"""Ray clusters of the tests: several nodes on this machine, nothing told to anybody, nothing outside 127.0.0.1."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Before Ray is imported: the first has it take 127.0.0.1 for this machine's address, as it does on macOS and Windows.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
_STORE = 80_000_000


@contextmanager
def ray_cluster(*cores: int) -> Iterator[tuple[object, list[object]]]:
    """(a cluster, its nodes but the head, which has no cores)."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)
    from ray.cluster_utils import Cluster

    here = {"node_ip_address": "127.0.0.1", "object_store_memory": _STORE, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **here})
    try:
        yield cluster, [cluster.add_node(num_cpus=one, node_ip_address="127.0.0.1", object_store_memory=_STORE) for one in cores]
    finally:
        cluster.shutdown()
        if before is None:
            os.environ.pop("PYTHONPATH", None)
        else:
            os.environ["PYTHONPATH"] = before
