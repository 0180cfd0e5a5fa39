"""Assessments that shards asked for, taken into the run, as if one process had asked: the reranker stage finds them there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from score_rag.errors import InputError
from score_rag.files import folder_lock
from score_rag.files.lines import drop_torn_line
from score_rag.pipeline.assessing import AssessmentJob, Progress, open_job
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.state import run_folder
from score_rag.progress import Report, silent
from score_rag.reranker.answers import append_answer, append_failure, errors_path, forget_failures, read_answers
from score_rag.reranker.asking import Answered, Failed
from score_rag.reranker.assessment import Assessment
from score_rag.reranker.spend import Usage, journal_path
from score_rag.reranker.spend_copy import copy_spend
from score_rag.shards.assess import SPEND, AssessJob
from score_rag.shards.check import shards_of
from score_rag.shards.manifest import MANIFEST, read_manifest
from score_rag.shards.merge import require_whole
from score_rag.shards.sorted import sorted_together

__all__ = ["take_assessments"]


def take_assessments(pipeline: Pipeline, output: Path | str, *, report: Report = silent) -> Progress:
    """Check the shards of a folder, then add their answers, failures and calls to the run's own. Safe to repeat: nothing is there twice.

    Raises:
        InputError: The folder is of another job, or of other questions than the run's.
        DataError: A shard is missing or was changed.
        LockedError: Another process is writing to the run.
        StageError: The run's data or documents are not up to date.
    """
    output = Path(output)
    kind = read_manifest(output)["facts"]["job"]
    if kind != AssessJob.name:
        raise InputError("these shards hold no assessments", where=output / MANIFEST, expected="job assess", found=f"job {kind}")
    require_whole(output, report=report)
    shards = shards_of(output)
    with folder_lock(run_folder(pipeline), doing=f"taking in assessments for the pipeline {pipeline.name}"):
        job = open_job(pipeline)
        keys = set(job.keys)
        parts, errors = ([output / name for name in names] for names in zip(*((one.part, one.errors) for one in shards), strict=True))
        good = sorted_together(parts).collect().to_dicts()
        there = [file for file in errors if file.is_file()]
        bad = sorted_together(there).collect().to_dicts() if there else []
        if strange := sum(row["key"] not in keys for row in (*good, *bad)):
            raise InputError(
                f"{strange:,} of {len(good) + len(bad):,} questions of these shards are none of the run's",
                where=output,
                expected="the settings, data and prompt that the shards were asked with",
                hint="name the same pipeline, with the same changes to its settings",
            )
        _add(job, good, bad)
        for shard in shards:
            copy_spend(output / shard.named(SPEND, ".jsonl"), journal_path(job.out), keys)
        return job.progress()


def _add(job: AssessmentJob, good: list[dict[str, Any]], bad: list[dict[str, Any]]) -> None:
    """Append what the run has no answer to."""
    job.out.parent.mkdir(parents=True, exist_ok=True)
    for file in (job.out, errors_path(job.out)):
        drop_torn_line(file)
    requests = dict(zip(job.keys, job.requests, strict=True))
    known = read_answers(job.out).keys()
    with job.out.open("a", encoding="utf-8") as stream:
        for row in good:
            if row["key"] not in known:
                answer = Assessment(characteristics=row["characteristics"], reason=row["reason"])
                usage = Usage(row["prompt_tokens"] or 0, row["completion_tokens"] or 0, row["cost"])
                append_answer(stream, row["key"], row["model"], requests[row["key"]], Answered(answer, usage))
    answered = read_answers(job.out).keys()
    forget_failures(errors_path(job.out), answered | {row["key"] for row in bad})
    for row in bad:
        if row["key"] not in answered:
            failed = Failed(row["outcome"], row["reason"], tuple(row["replies"]))
            append_failure(errors_path(job.out), row["key"], job.settings.assessor, requests[row["key"]], failed)
