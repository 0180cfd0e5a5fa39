"""Whether a probability means what it says: temperature (Guo et al., 2017; arXiv 1706.04599), expected calibration error, reliability."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["Bin", "calibration_error", "fit_temperature", "reliability"]


class Bin(NamedTuple):
    """Questions of about one probability: how many, what was said on average, what came true."""

    questions: int
    said: float
    liked: float


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The T in p = sigmoid(logit / T) with the least log-loss, by golden-section search over log T between 1/20 and 20.

    Args:
        logits: [n]: of Yes less of No.
        labels: [n] of 0 and 1.

    >>> logits = np.log(np.array([0.8] * 10 + [0.2] * 10) / np.array([0.2] * 10 + [0.8] * 10))
    >>> labels = np.array([1] * 8 + [0] * 2 + [1] * 2 + [0] * 8)
    >>> round(fit_temperature(3 * logits, labels), 3)
    3.0
    """
    if len(set(np.asarray(labels).tolist())) < 2:
        return 1.0
    signs = 2.0 * np.asarray(labels) - 1

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0.0, -signs * logits / np.exp(log_temperature)).mean())

    ratio = (np.sqrt(5) - 1) / 2
    low, high = -np.log(20.0), np.log(20.0)
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    while high - low > 1e-6:
        if loss(left) < loss(right):
            high, right = right, left
            left = high - ratio * (high - low)
        else:
            low, left = left, right
            right = low + ratio * (high - low)
    return float(np.exp((low + high) / 2))


def reliability(probabilities: np.ndarray, labels: np.ndarray, *, bins: int = 10) -> list[Bin]:
    """Bins of equal numbers of questions, lowest probabilities first."""
    order = np.argsort(probabilities, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return [Bin(len(part), float(probabilities[part].mean()), float(labels[part].mean())) for part in parts]


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, *, bins: int = 10) -> float:
    """Expected calibration error: mean distance of what is said from what comes true, over bins of equal numbers.

    >>> round(calibration_error(np.array([0.9, 0.9]), np.array([1, 0]), bins=1), 3)
    0.4
    """
    found = reliability(probabilities, labels, bins=bins)
    return float(sum(one.questions * abs(one.said - one.liked) for one in found) / max(1, len(labels)))
