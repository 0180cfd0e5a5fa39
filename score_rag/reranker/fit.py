"""From training events to a reranker (SARE): what would help is asked, or measured, and a cross-encoder learns to see it by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from score_rag.data.choices import History
from score_rag.data.interactions import Interactions
from score_rag.documents.describer import Describer
from score_rag.encoders.encoder import find_encoder
from score_rag.errors import DataError
from score_rag.files import write_json
from score_rag.progress import Report, silent
from score_rag.prompts import Prompt
from score_rag.reranker.answers import answered
from score_rag.reranker.assess import AssessmentRequest, assess, write_answers
from score_rag.reranker.assessment import Assessment
from score_rag.reranker.comparing import embed_texts
from score_rag.reranker.examples import assessment_targets, measured_targets, ranked_lists, sample_requests
from score_rag.reranker.offline import OFFLINE_MODEL, OfflineAssessor
from score_rag.reranker.pair_texts import PairTexts
from score_rag.reranker.settings import RerankerSettings
from score_rag.reranker.train import train_reranker
from score_rag.settings import BUNDLED

if TYPE_CHECKING:
    from score_rag.index.reader import Hit

__all__ = ["Measure", "fit_reranker"]

_DEFAULTS = RerankerSettings()

Measure = Callable[[Sequence[AssessmentRequest], Sequence[Sequence["Hit"]]], Sequence[np.ndarray]]
"""Of questions [n] with their retrieved users, how much telling each of them raises the log-likelihood of the true answer: [n] of [Ke]."""


def fit_reranker(
    interactions: Interactions,
    hits_for: Callable[[Sequence[AssessmentRequest]], Sequence[Sequence[Hit]]],
    folder: Path,
    settings: RerankerSettings = _DEFAULTS,
    *,
    prompt: Prompt,
    texts: PairTexts,
    describer: Describer,
    assessments_path: Path,
    measure: Measure | None = None,
    checkpoints: Path | None = None,
    history: History = "all",
    seed: int = 0,
    report: Report = silent,
    **changes: Any,
) -> dict[str, Any]:
    """Ask or measure, rank, train, export: `folder/model`, `folder/assessments.jsonl`, `folder/reranker.json`.

    Args:
        hits_for: What the retriever finds for requests, each as of its own time.
        folder: Where to write.
        settings: Among them `supervision`; `encoder`, whose weights the cross-encoder starts from; `similarity_encoder`, by whose vectors
            assessments are compared with behaviours; and `assessor`, the LiteLLM model that writes the assessments.
        prompt: What the assessor is asked.
        texts: What the cross-encoder reads.
        describer: Tells histories.
        assessments_path: Where answers are kept; outside `folder`, so that they outlive a killed run.
        measure: Measures usefulness; needed unless `supervision` is `assessment`.
        checkpoints: As `train_reranker` takes them.
        history: What of a history is told.
        seed: Of all random sampling.
        report: Told how far the work is.
        changes: Single settings, in place of those given.

    Returns:
        Metrics of `train_reranker`; with assessments how many there are; with measures the mean gain (nats) of the most alike user
        (`gain_first`) and of the best (`gain_best`).

    Raises:
        DataError: There are too few events.
        AssessorError: The assessor cannot be asked, or gave too few valid answers.
    """
    settings = settings.changed(**changes)
    requests = sample_requests(interactions, describer, settings.pairs, history=history, seed=seed)
    if len(requests) < 10:
        raise DataError(
            "there are too few events to train the reranker", expected="at least 10 with three earlier ones", found=len(requests)
        )
    facts: dict[str, Any] = {}
    answers: list[Assessment] = []
    if settings.supervision != "measured":
        asked = len(requests)
        requests, answers = _ask(interactions, requests, settings, prompt=prompt, out=assessments_path, report=report)
        facts |= {"assessments": len(answers), **({"unanswered": lost} if (lost := asked - len(answers)) else {})}
    hits = hits_for(requests)
    sources: list[Sequence[np.ndarray]] = []
    if answers:
        sources.append(_by_assessment(answers, hits, settings, report))
    if settings.supervision != "assessment":
        assert measure is not None
        gains = measure(requests, hits)
        some = [one for one in gains if len(one)]
        facts |= {f"gain_{name}": float(np.mean([of(one) for one in some])) for name, of in (("first", lambda g: g[0]), ("best", np.max))}
        sources.append(measured_targets(gains))
    targets = [np.mean(parts, axis=0) for parts in zip(*sources, strict=True)]
    queries = [texts.ask(request.history, request.target) for request in requests]
    lists = ranked_lists(queries, _told(interactions, requests, hits, texts), targets)
    start = find_encoder(settings.encoder, setting="reranker.encoder")
    metrics = train_reranker(start, lists, folder / "model", settings.complete(), checkpoints=checkpoints, seed=seed, report=report)
    texts.write(folder / "model")
    if answers:
        write_answers(requests, answers, settings, prompt=prompt, out=folder / "assessments.jsonl")
    told = {"top_n": settings.top_n, "base": settings.encoder, "max_tokens": settings.max_tokens, "supervision": settings.supervision}
    asked_of = {"assessor": settings.assessor} if answers else {}
    write_json(folder / "reranker.json", {**told, **asked_of, "bundled": settings.encoder == BUNDLED})
    return {**facts, **metrics}


def _ask(
    interactions: Interactions,
    requests: Sequence[AssessmentRequest],
    settings: RerankerSettings,
    *,
    prompt: Prompt,
    out: Path,
    report: Report,
) -> tuple[list[AssessmentRequest], list[Assessment]]:
    stand_in = OfflineAssessor(interactions).ask if settings.assessor == OFFLINE_MODEL else None
    return answered(requests, assess(requests, settings, prompt=prompt, out=out, ask=stand_in, report=report), where=out)


def _by_assessment(
    answers: Sequence[Assessment], hits: Sequence[Sequence[Hit]], settings: RerankerSettings, report: Report
) -> list[np.ndarray]:
    comparer = find_encoder(settings.similarity_encoder, setting="reranker.similarity_encoder")
    vectors = embed_texts(comparer, [answer.text() for answer in answers] + [hit.text for found in hits for hit in found], report)
    rest = np.split(vectors[len(answers) :], np.cumsum([len(found) for found in hits])[:-1])
    return assessment_targets(vectors[: len(answers)], rest)


def _told(
    interactions: Interactions, requests: Sequence[AssessmentRequest], hits: Sequence[Sequence[Hit]], texts: PairTexts
) -> list[list[str]]:
    """Every retrieved user as the cross-encoder reads them, by what was known strictly before the question."""
    log = interactions.train_log
    return [
        [texts.tell(hit.text, verdict=log.verdict(hit.user_id, one.item_id, one.as_of), target=one.target) for hit in found]
        for one, found in zip(requests, hits, strict=True)
    ]
