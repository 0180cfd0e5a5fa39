"""Ranked lists for SARE: retrieved behaviours, ordered by how well they meet an assessment, or by how much they were seen to help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from score_rag.data.describe import training_counts
from score_rag.data.interactions import Interactions, event_rows
from score_rag.documents.describer import Describer, describe_item
from score_rag.reranker.assess import AssessmentRequest

__all__ = ["RankedList", "assessment_targets", "measured_targets", "ranked_lists", "sample_requests", "stratified"]

_EQUAL = 1e-6


@dataclass(frozen=True)
class RankedList:
    """A question with its behaviours, best first.

    Attributes:
        query: History and item, as the cross-encoder reads them.
        behaviours: Best first, as it reads them.
        targets: The share of each in what the list should look like; adds up to 1.
    """

    query: str
    behaviours: list[str]
    targets: list[float]

    @property
    def best(self) -> int:
        """How many share the first place."""
        return sum(target > self.targets[0] - _EQUAL for target in self.targets)


def sample_requests(
    interactions: Interactions, describer: Describer, count: int, *, history: str = "all", seed: int = 0
) -> list[AssessmentRequest]:
    """Training events to ask about, among those whose user had at least three earlier judgements.

    Stratified by how much their user had judged before, whether the item was liked, and how often it was judged in training: each stratum
    has its share of the sample, to within a few events, not by luck. More questions of the same seed hold the fewer.
    """
    log = interactions.train_log
    frame = interactions.events.filter(pl.col("split") == "train")
    known = log.count_earlier(frame)
    fit, known = frame.filter(pl.Series(known >= 3, dtype=pl.Boolean())), known[known >= 3]
    strata = [_thirds(known), fit["label"].to_numpy(), _thirds(training_counts(interactions, fit, "item_id"))]
    requests = []
    for event in event_rows(fit[stratified(strata, count, seed=seed + 1)]):
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


def assessment_targets(wanted: np.ndarray, behaviours: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What each list should look like by its assessment: all on the behaviour most like it, shared among equals (InfoNCE's target).

    Args:
        wanted: float32 [n, dim], the assessments' vectors, unit length.
        behaviours: [n] arrays [Ke, dim], unit length.

    Returns:
        [n] distributions [Ke]; where there is no behaviour an empty one.
    """
    out = []
    for vector, theirs in zip(wanted, behaviours, strict=True):
        scores = (theirs @ vector).astype(np.float64)
        best = scores > scores.max() - _EQUAL if len(scores) else np.zeros(0)
        out.append(best / max(1, best.sum()))
    return out


def measured_targets(gains: Sequence[np.ndarray], *, sharpness: float = 0.1) -> list[np.ndarray]:
    """What each list should look like by measured usefulness: softmax(gain / sharpness).

    Args:
        gains: [n] arrays [Ke]: how much the log-likelihood of the true answer rises (nats) when that behaviour is told.
        sharpness: Nats; behaviours whose gains differ by much less count as equals.

    >>> [round(float(one), 3) for one in measured_targets([np.array([0.1, 0.1, -0.2])])[0]]
    [0.488, 0.488, 0.024]
    """
    out = []
    for one in gains:
        shares = np.exp((one - one.max()) / sharpness) if len(one) else np.zeros(0)
        out.append(shares / max(1e-300, shares.sum()))
    return out


def ranked_lists(queries: Sequence[str], behaviours: Sequence[Sequence[str]], targets: Sequence[np.ndarray]) -> list[RankedList]:
    """Questions with their behaviours, best first by the target; without those that have fewer than two, or nothing to tell them apart."""
    lists = []
    for query, texts, target in zip(queries, behaviours, targets, strict=True):
        if len(texts) < 2 or np.ptp(target) < _EQUAL:
            continue
        order = np.argsort(-target, kind="stable")
        lists.append(RankedList(query, [texts[place] for place in order], [float(target[place]) for place in order]))
    return lists
