"""Ranked lists for SARE: retrieved behaviours, ordered by how well they meet an assessment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from score_rag.data.interactions import Interactions
from score_rag.documents.describer import Describer, describe_item
from score_rag.reranker.assess import AssessmentRequest

if TYPE_CHECKING:
    from score_rag.index.reader import Hit

__all__ = ["RankedList", "rank_by_assessment", "sample_requests"]


@dataclass(frozen=True)
class RankedList:
    """A question with its behaviours, best first by the assessment.

    Attributes:
        query: History and item, as the cross-encoder reads them.
        behaviours: Best first.
        similarities: Of each to the assessment, cosine.
    """

    query: str
    behaviours: list[str]
    similarities: list[float]


def sample_requests(
    interactions: Interactions, describer: Describer, count: int, *, history: str = "all", seed: int = 0
) -> list[AssessmentRequest]:
    """Training events to ask about, sampled uniformly among those whose user had at least three earlier judgements."""
    log = interactions.train_log
    fit = [event for event in interactions.rows("train") if len(log.earlier(event)) >= 3]
    chosen = np.sort(np.random.default_rng(seed + 1).choice(len(fit), min(count, len(fit)), replace=False))
    requests = []
    for place in chosen:
        event = fit[place]
        told = log.earlier(event, liked_only=history == "positives")
        text = describer.describe(told)
        if text:
            target = describe_item(interactions.item(event.item_id))
            requests.append(AssessmentRequest(event, text, target))
    return requests


def rank_by_assessment(
    queries: Sequence[str], hits: Sequence[Sequence[Hit]], wanted: np.ndarray, behaviours: Sequence[np.ndarray]
) -> list[RankedList]:
    """Order each question's behaviours by cosine to its assessment; questions with fewer than two behaviours are left out.

    Args:
        queries: [n].
        hits: [n] lists.
        wanted: float32 [n, dim], the assessments' vectors, unit length.
        behaviours: [n] arrays [hits, dim], unit length.
    """
    lists = []
    for query, found, vector, theirs in zip(queries, hits, wanted, behaviours, strict=True):
        if len(found) < 2:
            continue
        scores = theirs @ vector
        order = np.argsort(-scores, kind="stable")
        lists.append(RankedList(query, [found[place].text for place in order], [float(scores[place]) for place in order]))
    return lists
