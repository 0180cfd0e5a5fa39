"""Ranked lists for SARE: retrieved behaviours, ordered by how well they meet an assessment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from score_rag.data.interactions import Interactions, event_rows
from score_rag.documents.describer import Describer, describe_item
from score_rag.reranker.assess import AssessmentRequest

if TYPE_CHECKING:
    from score_rag.index.reader import Hit

__all__ = ["RankedList", "rank_by_assessment", "sample_requests", "stratified"]


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
    """Training events to ask about, among those whose user had at least three earlier judgements.

    Stratified by how much their user had judged before, whether the item was liked, and how often it was judged in training: each stratum
    has its share of the sample, to within a few events, not by luck. More questions of the same seed hold the fewer.
    """
    log = interactions.train_log
    earlier = [(event, len(log.earlier(event))) for event in interactions.rows("train")]
    fit = [event for event, before in earlier if before >= 3]
    known = np.array([before for _, before in earlier if before >= 3])
    judged = Counter(event.item_id for event in event_rows(interactions.learned) if not event.sampled)
    popularity = np.array([judged[event.item_id] for event in fit])
    chosen = stratified([_thirds(known), [event.liked for event in fit], _thirds(popularity)], count, seed=seed + 1)
    requests = []
    for place in chosen:
        event = fit[place]
        told = log.earlier(event, liked_only=history == "positives")
        text = describer.describe(told)
        if text:
            target = describe_item(interactions.item(event.item_id))
            requests.append(AssessmentRequest(event, text, target))
    return requests


def stratified(strata: Sequence[Sequence[int] | np.ndarray], count: int, *, seed: int) -> np.ndarray:
    """Places of a sample in which every combination of strata has its share; a larger sample of the same seed holds the smaller one.

    Rows are ordered by stratum, and taken at the places of van der Corput's sequence: the middle, the quarters, the eighths, and so on.

    Args:
        strata: [k] of [n].
        count: How many to take; all where there are fewer.

    Returns:
        int [min(count, n)], ascending.

    >>> stratified([[0, 0, 0, 0, 1, 1]], 3, seed=0).tolist()
    [0, 2, 5]
    """
    rows = len(strata[0])
    generator = np.random.default_rng(seed)
    order = np.lexsort([generator.random(rows), *(np.asarray(one) for one in reversed(strata))])
    bits = max(rows - 1, 0).bit_length()
    turns, places = np.arange(2**bits), np.zeros(2**bits, dtype=np.int64)
    for bit in range(bits):
        places |= (turns >> bit & 1) << (bits - 1 - bit)
    taken = places[places < rows][:count] + int(generator.integers(max(rows, 1)))
    found: np.ndarray = np.sort(order[taken % max(rows, 1)])
    return found


def _thirds(values: np.ndarray) -> np.ndarray:
    """0, 1 or 2: the third of the rows that a value lies in; equal values stay together."""
    return np.searchsorted(np.quantile(values, [1 / 3, 2 / 3]), values) if len(values) else values


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
