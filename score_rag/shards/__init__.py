"""Work in shards: `score` and `embed` over Parquet, `assess` over a run's questions, on as many machines as there are.

Any scheduler can start them.

A shard is one command, `--shard 3/16`, and knows of no other: it reads the whole input's ids, takes the rows that are its own, and writes
`part-00003-of-00016.parquet`. The folder is the only thing that shards share. Nothing in it looks whole before it is, so a shard may be
killed and started again at any moment.
"""

from score_rag.shards.assess import AssessJob
from score_rag.shards.check import ShardsReport, check_shards
from score_rag.shards.embed import EmbedJob
from score_rag.shards.job import Job
from score_rag.shards.merge import merge_shards
from score_rag.shards.score import ScoreJob
from score_rag.shards.shard import Shard
from score_rag.shards.take import take_assessments
from score_rag.shards.work import Done, run_shard

__all__ = [
    "AssessJob",
    "Done",
    "EmbedJob",
    "Job",
    "ScoreJob",
    "Shard",
    "ShardsReport",
    "check_shards",
    "merge_shards",
    "run_shard",
    "take_assessments",
]
