"""The job `assess`: the assessments that teach a run's reranker, asked for by many machines within the limits that each shard has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from score_rag.files import digest_json
from score_rag.pipeline.assessing import AssessmentJob
from score_rag.pipeline.run import Run
from score_rag.progress import Report
from score_rag.reranker.answers import copy_answers, errors_path, read_failures, read_rows
from score_rag.reranker.assess import require_no_batch
from score_rag.reranker.assessment import AssessmentRequest
from score_rag.reranker.spend import Limits, journal_path
from score_rag.reranker.spend_copy import copy_spend
from score_rag.shards.job import Answers, Job
from score_rag.shards.shard import Shard
from score_rag.shards.source import HeldSource

__all__ = ["SPEND", "AssessJob"]

SPEND = "spend"
"""What a shard's journal of spend is called in the folder: `spend-00003-of-00016.jsonl`."""

_NO_LIMITS = Limits()
_TEXTS = pl.List(pl.String())


class AssessJob(Job):
    """A row a question of the run's reranker, in the order in which one process asks them.

    Answers are kept one by one as they come (`score_rag.reranker.assess`), so a killed shard asks none of them again; those that the run
    has already are taken from it.

    Args:
        run: A run whose data and documents are finished.
        asked: The questions of its reranker.
        limits: What the questions of a shard may cost, each shard for itself.
    """

    name = "assess"
    doing = "asking for assessments"
    stages = ("data", "documents")
    packages = ("score-rag",)
    whole: ClassVar[bool] = True
    group = "key"
    key = ("key",)

    def __init__(self, run: Run, asked: AssessmentJob, *, limits: Limits = _NO_LIMITS) -> None:
        self.asked, self.limits = asked, limits
        self._requests: dict[str, AssessmentRequest] = {}
        for key, request in zip(asked.keys, asked.requests, strict=True):
            self._requests.setdefault(key, request)
        rows = [(key, one.user_id, one.item_id, one.as_of) for key, one in self._requests.items()]
        schema = {"key": pl.String(), "user_id": pl.String(), "item_id": pl.String(), "as_of": pl.Int64()}
        super().__init__(run, HeldSource.of(pl.DataFrame(rows, schema=schema, orient="row"), digest_json([row[0] for row in rows])))

    @property
    def makes(self) -> dict[str, pl.DataType]:
        """What was answered, by which model, and what the call that brought it came to."""
        return {
            "characteristics": _TEXTS, "reason": pl.String(), "model": pl.String(),
            "prompt_tokens": pl.Int64(), "completion_tokens": pl.Int64(), "cost": pl.Float64(),
        }  # fmt: skip

    def options(self) -> dict[str, Any]:
        settings = self.asked.settings
        return {
            "assessor": settings.assessor,
            "max_answer_tokens": settings.max_answer_tokens,
            "temperature": settings.temperature,
            "prompt": self.asked.prompt.sha256,
        }

    def begin(self, shard: Shard, output: Path, scratch: Path, report: Report) -> None:
        """See `Job.begin`. A shard that is done again counts what it had cost before."""
        self._out, self._report = scratch / "assessments.jsonl", report
        copy_spend(output / shard.named(SPEND, ".jsonl"), journal_path(self._out), self._requests.keys())

    def leaves(self, scratch: Path) -> dict[str, Path]:
        journal = journal_path(scratch / "assessments.jsonl")
        return {SPEND: journal} if journal.is_file() else {}

    def answer(self, rows: pl.DataFrame) -> Answers:
        """Ask all questions of the shard; see `score_rag.reranker.assess.assess` for what is raised."""
        keys = rows["key"].to_list()
        mine = set(keys)
        require_no_batch(self.asked.out, mine)
        copy_answers(self.asked.out, self._out, mine)
        copy_spend(journal_path(self.asked.out), journal_path(self._out), mine)
        job = replace(self.asked, requests=[self._requests[key] for key in keys], out=self._out)
        job.run(limits=self.limits, report=self._report)
        answers, failures = read_rows(self._out), read_failures(errors_path(self._out))
        good = [answers[key][0] | answers[key][1].model_dump() for key in keys if key in answers]
        bad = [failures[key] for key in keys if key not in answers]
        columns = {name: pl.Series([row.get(name) for row in good], dtype=kind) for name, kind in self.makes.items()}
        failed = {place: str(failures[key]["reason"]) for place, key in enumerate(keys) if key not in answers}
        return Answers(columns, failed, {"outcome": _told(bad, "outcome", pl.String()), "replies": _told(bad, "replies", _TEXTS)})


def _told(rows: Sequence[dict[str, Any]], name: str, kind: pl.DataType) -> pl.Series:
    return pl.Series([row[name] for row in rows], dtype=kind)
