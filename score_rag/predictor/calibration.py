"""Temperature and shift that make a probability mean what it says (arXiv 1706.04599)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["Calibration", "fit_calibration", "fit_logistic"]

MOST = 20.0
"""Calibration makes logits at most so many times as large, or as small."""


class Calibration(NamedTuple):
    """P = sigmoid((logit - shift) / temperature)."""

    temperature: float = 1.0
    shift: float = 0.0

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """[n] of [n] logits."""
        found: np.ndarray = 1 / (1 + np.exp(-(np.asarray(logits, dtype=np.float64) - self.shift) / self.temperature))
        return found


def fit_calibration(logits: np.ndarray, labels: np.ndarray) -> Calibration:
    """Temperature (Guo et al., 2017) and shift with the least log-loss, by Newton's method (Platt, 1999).

    The temperature stays between 1/20 and 20.
    The shift matters where fewer are liked than in training: a temperature alone would only make all answers doubtful.

    Args:
        logits: [n]: of Yes less of No.
        labels: [n] of 0 and 1.

    >>> logits = np.log(np.array([0.8] * 10 + [0.2] * 10) / np.array([0.2] * 10 + [0.8] * 10))
    >>> labels = np.array([1] * 8 + [0] * 2 + [1] * 2 + [0] * 8)
    >>> found = fit_calibration(3 * logits + 1, labels)
    >>> round(found.temperature, 2), round(found.shift, 2)
    (3.0, 1.0)
    """
    logits, labels = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if len(set(labels.tolist())) < 2 or not logits.std():
        return Calibration()
    middle, spread = logits.mean(), logits.std()
    inputs = (logits - middle) / spread
    slope, intercept = fit_logistic(np.stack([inputs, np.ones(len(inputs))], axis=1), labels)
    # What orders the wrong way round is not put right by calibration, only doubted.
    if slope / spread <= 1 / MOST:
        return Calibration(MOST, float(middle))
    # Logits that hardly differ are not blown up until their rounding shows.
    if slope / spread > MOST:
        slope = MOST * spread
        (intercept,) = fit_logistic(np.ones((len(inputs), 1)), labels, slope * inputs)
    return Calibration(float(spread / slope), float(middle - intercept * spread / slope))


def fit_logistic(inputs: np.ndarray, labels: np.ndarray, offset: np.ndarray | None = None) -> np.ndarray:
    """Weights of a logistic regression, by Newton's method.

    Args:
        inputs: float64 [n, k], at unit spread; the last column is of ones.
        labels: [n] of 0 and 1.
        offset: [n]: added to the logits.

    Returns:
        float64 [k].
    """
    weights = np.zeros(inputs.shape[1])
    ridge = np.diag([*[1e-3] * (len(weights) - 1), 1e-9])  # scores without an error would have no finite slope
    for _ in range(50):
        said = 1 / (1 + np.exp(-np.clip(inputs @ weights + (0 if offset is None else offset), -30, 30)))
        gradient = inputs.T @ (said - labels) + ridge @ weights
        curvature = (inputs * (said * (1 - said))[:, None]).T @ inputs + ridge
        step = np.linalg.solve(curvature, gradient)
        weights = weights - step
        if np.abs(step).max() < 1e-10:
            break
    return weights
