"""A job in words: what a process on any machine needs to make it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.run import Run
from score_rag.progress import Report, silent
from score_rag.shards.assess import AssessJob
from score_rag.shards.embed import EmbedJob
from score_rag.shards.job import Job
from score_rag.shards.score import ScoreJob
from score_rag.shards.source import find_source

__all__ = ["Order"]


@dataclass(frozen=True)
class Order:
    """What was typed.

    Attributes:
        kind: The job's name.
        pipeline: Its name, or the path of its file.
        overrides: `section.key=value` each.
        source: The input; None for `assess`, whose questions are the run's, and where `embed` takes the run's documents.
        options: Of the job's class: `reranked`; `id`, `dtype`; `limits`.
    """

    kind: Literal["score", "embed", "assess"]
    pipeline: str
    overrides: tuple[str, ...] = ()
    source: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def make(self, *, report: Report = silent) -> Job:
        """The job.

        Raises:
            InputError: There is no such pipeline or input.
            StageError: The run is not finished as far as the job needs it.
        """
        pipeline = load_pipeline(self.pipeline, overrides=self.overrides)
        if self.kind == "assess":
            from score_rag.pipeline.assessing import open_job

            asked = open_job(pipeline)
            return AssessJob(Run.open(pipeline, stages=AssessJob.stages), asked, **self.options)
        if self.kind == "embed":
            run = Run.open(pipeline, stages=EmbedJob.stages)
            return EmbedJob(run, find_source(self.source or run.folder("documents") / "documents.parquet", report=report), **self.options)
        run = Run.open(pipeline, stages=ScoreJob.stages)
        return ScoreJob(run, find_source(self.source or Path(), report=report), **self.options)
