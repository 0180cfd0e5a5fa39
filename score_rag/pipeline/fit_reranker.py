"""The reranker stage's work: what its questions retrieve, and how often the assessor would be asked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from score_rag.pipeline.stage import StageContext

if TYPE_CHECKING:
    import numpy as np

    from score_rag.context.question import Question
    from score_rag.index.reader import Hit
    from score_rag.reranker.assess import AssessmentRequest

__all__ = ["fit_reranker_stage", "planned_assessments"]


def fit_reranker_stage(context: StageContext, folder: Path) -> dict[str, Any]:
    """Train the reranker on what the run's retriever finds; returns its metrics on held-out questions."""
    from score_rag.pipeline.run import Run
    from score_rag.reranker.fit import fit_reranker
    from score_rag.reranker.pair_texts import PairTexts

    settings = context.pipeline.reranker
    run = Run(context.pipeline, context.folder)
    finder = run.make_finder(None, run.bulk_encoder)
    checkpoints = context.scratch / "reranker"
    facts: dict[str, Any] = {}

    def questions(requests: Sequence[AssessmentRequest]) -> list[Question]:
        return finder.questions([request.event for request in requests])

    def hits_for(requests: Sequence[AssessmentRequest]) -> list[list[Hit]]:
        return [hits[: finder.similarity_top_k] for hits in finder.retrieve(questions(requests), report=context.report)]

    def measure(requests: Sequence[AssessmentRequest], hits: Sequence[Sequence[Hit]]) -> list[np.ndarray]:
        from score_rag.pipeline.measuring import Probe

        events = [request.event for request in requests]
        probe, found = Probe.fit(
            run,
            context.prompt(settings.measure_prompt),
            checkpoints / "probe",
            without=events,
            checkpoints=checkpoints / "probe_training",
            report=context.report,
        )
        facts["probe_valid_auc"] = found["valid_auc"]
        return probe.gains(questions(requests), hits, [event.liked for event in events], report=context.report)

    metrics = fit_reranker(
        finder.interactions,
        hits_for,
        folder,
        settings,
        prompt=context.prompt(settings.assess_prompt),
        texts=PairTexts(context.prompt(settings.question_prompt), context.prompt(settings.behaviour_prompt)),
        describer=finder.describer,
        assessments_path=context.scratch / "assessments.jsonl",
        measure=measure,
        checkpoints=checkpoints / "model",
        history=context.pipeline.data.history,
        seed=context.seed,
        report=context.report,
    )
    context.end_training(checkpoints)
    return {**facts, **metrics}


def planned_assessments(context: StageContext, due: Collection[str]) -> str:
    """How often the assessor would be asked: exactly where the questions are known already, otherwise at most."""
    settings = context.pipeline.reranker
    if settings.supervision == "measured":
        return "no assessments: usefulness is measured"
    if "documents" in due:
        return f"at most {settings.pairs} calls to {settings.assessor}, fewer where answers are kept from before"
    from score_rag.pipeline.assessing import job_of
    from score_rag.pipeline.run import Run

    job = job_of(Run(context.pipeline, context.folder), context.prompt(settings.assess_prompt), context.scratch)
    calls = job.calls()
    return f"{calls} calls to {settings.assessor}; {len(set(job.keys)) - calls} answers are kept from before"
