"""What can go wrong with a cluster, beside what can go wrong with a shard."""

from __future__ import annotations

from score_rag.errors import ScoreError

__all__ = ["ClusterError", "LostShardError", "StalledShardError"]


class ClusterError(ScoreError):
    """The cluster cannot be reached, or has no room."""


class StalledShardError(ClusterError):
    """Nothing was heard of a shard for too long."""


class LostShardError(ClusterError):
    """A shard's worker died, or failed as none of our errors, as often as it may."""
