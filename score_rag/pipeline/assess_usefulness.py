"""Whether a run's assessments foresee which users help: the rank correlation of likeness with usefulness, as measured by a small Llama."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from score_rag.progress import Report, silent

if TYPE_CHECKING:
    from score_rag.pipeline.assessing import AssessmentJob
    from score_rag.pipeline.config import Pipeline
    from score_rag.reranker.assessment import Assessment

__all__ = ["measured_agreement"]


def measured_agreement(
    pipeline: Pipeline, job: AssessmentJob, answers: Sequence[Assessment | None], *, report: Report = silent
) -> np.ndarray:
    """Each question's rank correlation, float64 [n]; NaN where there is no answer or too little to compare.

    A small Llama is trained for it on `reranker.measure_prompt`, on training events that are not asked about; nothing of it is kept.

    Raises:
        StageError: The run's retriever is not finished.
        DataError: There are too few events.
    """
    from score_rag.encoders.encoder import find_encoder
    from score_rag.pipeline.measuring import Probe
    from score_rag.pipeline.run import Run
    from score_rag.prompts import find_prompt
    from score_rag.reranker.comparing import embed_texts
    from score_rag.reranker.usefulness import rank_correlations

    run = Run.open(pipeline, stages=("retriever",))
    finder = run.make_finder(None)
    known = [place for place, answer in enumerate(answers) if answer is not None]
    out = np.full(len(answers), np.nan)
    if not known:
        return out
    events = [job.requests[place].event for place in known]
    questions = finder.questions(events)
    hits = [found[: finder.similarity_top_k] for found in finder.retrieve(questions, report=report)]
    with tempfile.TemporaryDirectory() as aside:
        without = [request.event for request in job.requests]
        probe, _ = Probe.fit(run, find_prompt(pipeline.reranker.measure_prompt), Path(aside), without=without, report=report)
        gains = probe.gains(questions, hits, [event.liked for event in events], report=report)
    encoder = find_encoder(pipeline.reranker.similarity_encoder, setting="reranker.similarity_encoder")
    said = [answer.text() for answer in answers if answer is not None]
    vectors = embed_texts(encoder, [*said, *(hit.text for found in hits for hit in found)], report)
    theirs = np.split(vectors[len(said) :], np.cumsum([len(found) for found in hits])[:-1])
    out[known] = rank_correlations([one @ vector for one, vector in zip(theirs, vectors, strict=False)], gains)
    return out
