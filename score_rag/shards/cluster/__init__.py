"""Shards on a cluster: the same shards in the same folder, handed to the workers of a Ray cluster by one driver.

What is written is what `--shard i/n` writes. Ray only says who works on which shard; the folder is the checkpoint.
"""

from score_rag.shards.cluster.drive import AllDone, run_on_ray
from score_rag.shards.cluster.errors import ClusterError, LostShardError, StalledShardError

__all__ = ["AllDone", "ClusterError", "LostShardError", "StalledShardError", "run_on_ray"]
