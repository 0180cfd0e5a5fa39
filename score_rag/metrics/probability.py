"""Whether probabilities mean what they say: log-loss and Brier score row by row, expected calibration error with what chance gives it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from score_rag.metrics.order import ranks_of

__all__ = ["Bin", "are_probabilities", "bins_of", "calibration_error", "chance_error", "log_losses", "reliability"]


class Bin(NamedTuple):
    """Questions of about one probability: how many, what was said on average, what came true."""

    questions: int
    said: float
    liked: float


def are_probabilities(scores: np.ndarray) -> bool:
    """Whether all lie between 0 and 1."""
    return bool(len(scores) and scores.min() >= 0 and scores.max() <= 1)


def log_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Negative log-likelihood of each row in nats, of probabilities kept 1e-7 away from 0 and 1."""
    safe = np.clip(probabilities, 1e-7, 1 - 1e-7)
    losses: np.ndarray = -np.log(np.where(labels == 1, safe, 1 - safe))
    return losses


def bins_of(ranks: np.ndarray, bins: int = 10) -> np.ndarray:
    """int64 [n]: each row's bin of about equal numbers of rows, lowest scores first; equal scores are never parted.

    Args:
        ranks: int64 [n], of `ranks_of`.

    >>> bins_of(ranks_of(np.array([0.1, 0.2, 0.2, 0.2, 0.9])), 2).tolist()
    [0, 1, 1, 1, 1]
    """
    if not len(ranks):
        return ranks
    counts = np.bincount(ranks)
    # A group of equal scores belongs where its middle row stands.
    middle = np.cumsum(counts) - counts / 2
    of_rank = np.minimum((middle * bins / len(ranks)).astype(np.int64), bins - 1)
    found: np.ndarray = of_rank[ranks]
    return found


def reliability(probabilities: np.ndarray, labels: np.ndarray, *, bins: int = 10, ranks: np.ndarray | None = None) -> list[Bin]:
    """Bins of about equal numbers of questions, lowest probabilities first.

    Args:
        ranks: Of the probabilities, where they are known already.
    """
    place = bins_of(ranks_of(probabilities) if ranks is None else ranks, bins)
    count = np.bincount(place, minlength=bins)
    said = np.bincount(place, weights=probabilities, minlength=bins)
    liked = np.bincount(place, weights=labels, minlength=bins)
    return [Bin(int(n), float(p / n), float(y / n)) for n, p, y in zip(count, said, liked, strict=True) if n]


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, *, bins: int = 10) -> float:
    """Expected calibration error: mean distance of what is said from what comes true, over bins of about equal numbers.

    >>> round(calibration_error(np.array([0.9, 0.9]), np.array([1, 0]), bins=1), 3)
    0.4
    """
    found = reliability(probabilities, labels, bins=bins)
    return float(sum(one.questions * abs(one.said - one.liked) for one in found) / max(1, len(labels)))


def chance_error(probabilities: np.ndarray, place: np.ndarray, *, bins: int = 10) -> float:
    """The calibration error that perfectly calibrated probabilities would show on so many rows, by chance alone.

    A bin's mean error is then about normal with variance sum(p (1 - p)) / n^2, and its size on average sqrt(2 / pi) of the deviation.
    Rows count as independent.

    Args:
        place: int64 [n], of `bins_of`.

    >>> round(chance_error(np.full(1000, 0.5), np.zeros(1000, dtype=int)), 4)
    0.0126
    """
    spread = np.bincount(place, weights=probabilities * (1 - probabilities), minlength=bins)
    return float(np.sqrt(2 / np.pi * spread).sum() / max(1, len(place)))
