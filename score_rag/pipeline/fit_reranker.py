"""The reranker stage's work: what its questions retrieve, and how often the assessor would be asked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from score_rag.pipeline.stage import StageContext

if TYPE_CHECKING:
    from score_rag.index.reader import Hit
    from score_rag.reranker.assess import AssessmentRequest

__all__ = ["fit_reranker_stage", "planned_assessments"]


def fit_reranker_stage(context: StageContext, folder: Path) -> dict[str, Any]:
    """Train the reranker on what the run's retriever finds; returns its metrics on held-out questions."""
    from score_rag.context.question import Question
    from score_rag.pipeline.run import Run
    from score_rag.reranker.train import fit_reranker

    settings = context.pipeline.reranker
    finder = Run(context.pipeline, context.folder).make_finder(None)

    def hits_for(requests: Sequence[AssessmentRequest]) -> list[list[Hit]]:
        log = finder.interactions.log
        asked = [Question(r.user_id, r.item_id, log.earlier(r.event), r.as_of) for r in requests]
        return [hits[: finder.similarity_top_k] for hits in finder.retrieve(asked, report=context.report)]

    checkpoints = context.scratch / "reranker"
    metrics = fit_reranker(
        finder.interactions,
        hits_for,
        folder,
        settings,
        prompt=context.prompt(settings.assess_prompt),
        describer=finder.describer,
        assessments_path=context.scratch / "assessments.jsonl",
        checkpoints=checkpoints,
        history=context.pipeline.data.history,
        seed=context.seed,
        report=context.report,
    )
    context.end_training(checkpoints)
    return metrics


def planned_assessments(context: StageContext, due: Collection[str]) -> str:
    """How often the assessor would be asked: exactly where the questions are known already, otherwise at most."""
    settings = context.pipeline.reranker
    if "documents" in due:
        return f"at most {settings.pairs} calls to {settings.assessor}, fewer where answers are kept from before"
    from score_rag.pipeline.assessing import job_of
    from score_rag.pipeline.run import Run

    job = job_of(Run(context.pipeline, context.folder), context.prompt(settings.assess_prompt), context.scratch)
    calls = job.calls()
    return f"{calls} calls to {settings.assessor}; {len(set(job.keys)) - calls} answers are kept from before"
