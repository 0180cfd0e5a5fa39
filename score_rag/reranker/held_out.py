"""Questions kept out of the reranker's training: some choose the epoch whose weights are kept, the others are only reported."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from score_rag.reranker.examples import RankedList
from score_rag.training.checkpoints import BestOfEpochs

__all__ = ["BestRanking", "HeldOut", "expected_reciprocal_rank"]

_CHOOSE = 0.25
"""Share of the held-out questions by which the epoch is chosen."""

Score = Callable[[list[tuple[str, str]]], np.ndarray]
"""Of pairs [n], logits [n]."""


class HeldOut:
    """Ranked lists that a cross-encoder was not trained on.

    Args:
        lists: At least one; with fewer than four, all are reported and none chooses.
    """

    def __init__(self, lists: Sequence[RankedList]) -> None:
        choosing = math.floor(_CHOOSE * len(lists))
        self.choosing, self.reported = lists[:choosing], lists[choosing:]

    def examine(self, score: Score) -> tuple[float, dict[str, float]]:
        """(Mean reciprocal rank of the choosing questions, 0 where there are none; metrics of the reported ones)."""
        ranks = [_reciprocal_ranks(lists, score) for lists in (self.choosing, self.reported)]
        margin = 1.96 * float(ranks[1].std(ddof=1)) / math.sqrt(len(ranks[1])) if len(ranks[1]) > 1 else 1.0
        return float(ranks[0].mean()) if len(ranks[0]) else 0.0, {"mrr": float(ranks[1].mean()), "margin": margin}

    def mean(self, score: Score) -> float:
        """Mean logit of all pairs."""
        return float(np.mean(score([(one.query, text) for one in (*self.choosing, *self.reported) for text in one.behaviours])))

    @property
    def random(self) -> float:
        """What a random order would have on the reported questions, on average."""
        return float(np.mean([expected_reciprocal_rank(len(one.behaviours), one.best) for one in self.reported]))


class BestRanking(BestOfEpochs):
    """The weights of the epoch that ranks the choosing questions best.

    Args:
        network: Whose trained weights are kept.
        held: The questions.
        score: The network's logits of pairs.
        folder: As for the base.
    """

    def __init__(self, network: Any, held: HeldOut, score: Score, folder: Path | None) -> None:
        super().__init__(network, folder)
        self.held, self.score = held, score

    def end_epoch(self, step: int) -> None:
        """Examine, and keep the weights if they are the best so far."""
        self.keep(step, *self.held.examine(self.score))


def expected_reciprocal_rank(count: int, best: int) -> float:
    """Mean over all orders of `count` behaviours of 1 / the rank of the first of `best` equals.

    >>> expected_reciprocal_rank(2, 1), expected_reciprocal_rank(3, 3)
    (0.75, 1.0)
    """
    total = math.comb(count, best)
    return sum(math.comb(count - rank, best - 1) / (rank * total) for rank in range(1, count - best + 2))


def _reciprocal_ranks(lists: Sequence[RankedList], score: Score) -> np.ndarray:
    """Of each question 1 / the rank of the first of its best; a behaviour with the same logit stands before it."""
    scores = iter(score([(one.query, text) for one in lists for text in one.behaviours]) if lists else ())
    out = []
    for one in lists:
        own = np.array([next(scores) for _ in one.behaviours])
        top = own[: one.best].max()
        out.append(1.0 / (1 + int((own[one.best :] >= top).sum())))
    return np.array(out)
