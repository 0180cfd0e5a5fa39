"""What a job is: which columns it reads, what its results depend on, and how it answers a batch of rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import polars as pl

from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.readers import all_settings
from score_rag.pipeline.run import Run
from score_rag.pipeline.stages import STAGES
from score_rag.pipeline.state import finished_record
from score_rag.progress import Report
from score_rag.shards.shard import Shard
from score_rag.shards.source import Source

__all__ = ["Answers", "Job"]

_ANSWERING = (
    "retriever.similarity_top_k", "reranker.top_n", "predictor.scoring.engine", "predictor.scoring.model", "predictor.scoring.api",
    "predictor.scoring.top_logprobs", "predictor.scoring.batch_tokens",
)  # fmt: skip
"""Settings that training does not read and answers depend on. Where a server is and how often it is asked again changes no answer."""


class Answers(NamedTuple):
    """What came of a batch.

    Attributes:
        columns: By name, one value for each row that has an answer, in the order of the rows.
        failed: By place in the batch, why a row has none.
        told: What else is told of rows that failed: by name, one value for each of them, in their order.
    """

    columns: dict[str, pl.Series]
    failed: dict[int, str]
    told: Mapping[str, pl.Series] = MappingProxyType({})


class Job(ABC):
    """One kind of work on rows of a source.

    Args:
        run: The run that answers: a plain one, which nothing changes while shards are under way.
        source: The input.

    Attributes:
        name: `score`, `embed` or `assess`.
        doing: For the progress bar.
        stages: Stages that the job reads.
        packages: Packages whose version may change the numbers.
        whole: Whether it is given all rows of a shard at once, since it keeps each answer itself as it comes.
        group: The column whose equal values stay together.
        key: Columns that name a row; no two rows may have the same.
        order: Columns by which the rows of a group are ordered.
        drops: Columns of the input that are not written.
    """

    name: ClassVar[str]
    doing: ClassVar[str]
    stages: ClassVar[tuple[str, ...]] = STAGES
    packages: ClassVar[tuple[str, ...]] = ("score-rag", "numpy", "onnxruntime", "tokenizers", "torch", "transformers")
    whole: ClassVar[bool] = False
    group: str
    key: tuple[str, ...]
    order: tuple[str, ...] = ()
    drops: tuple[str, ...] = ()

    def __init__(self, run: Run, source: Source) -> None:
        self.run = run
        self.source = source

    @property
    @abstractmethod
    def makes(self) -> dict[str, pl.DataType]:
        """The columns that it writes beside the input's."""

    @abstractmethod
    def answer(self, rows: pl.DataFrame) -> Answers:
        """Answer the rows of one batch; what is wrong with one row is not the others' affair.

        Raises:
            ScoreError: The work cannot go on, whatever the rows.
        """

    def begin(self, shard: Shard, output: Path, scratch: Path, report: Report) -> None:  # noqa: B027  # most keep nothing of their own
        """Called before the first batch of a shard.

        Args:
            output: The folder of all shards.
            scratch: The shard's own, for what the job keeps itself; it goes when the shard is done.
        """

    def leaves(self, scratch: Path) -> dict[str, Path]:
        """Files of the scratch that stay, each under `KIND-00003-of-00016` by its kind."""
        return {}

    def options(self) -> dict[str, Any]:
        """What else the results depend on."""
        return {}

    def facts(self) -> dict[str, Any]:
        """Everything that the results depend on, as JSON."""
        return {
            "job": self.name,
            "input": {"sha256": self.source.digest, "rows": self.source.rows},
            "options": self.options(),
            "seed": self.run.pipeline.seed,
            "settings": _settings(self.run.pipeline, self.stages),
            "stages": {stage: (finished_record(self.run.pipeline, stage) or {}).get("content") for stage in self.stages},
            "versions": _versions(self.packages),
        }


def _settings(pipeline: Pipeline, stages: Sequence[str]) -> dict[str, Any]:
    found = pipeline.model_dump(mode="json")
    out = {}
    for setting in all_settings(pipeline):
        if setting.name.partition(".")[0] in stages and (not setting.kind or setting.name in _ANSWERING):
            value: Any = found
            for part in setting.name.split("."):
                value = value[part]
            out[setting.name] = value
    return out


def _versions(packages: Sequence[str]) -> dict[str, str | None]:
    out: dict[str, str | None] = {}
    for name in packages:
        try:
            out[name] = version(name)
        except PackageNotFoundError:
            out[name] = None
    return out
