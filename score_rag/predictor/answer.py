"""One answer: P(Yes) against No, and the mass of the two among all tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["LOW_MASS", "Answer", "calibrated", "from_logits", "from_probabilities"]

LOW_MASS = 0.5
"""Below this, Yes and No together are not what the model would have written: the probability says little, and a warning is due."""


@dataclass(frozen=True)
class Answer:
    """One scored prompt.

    Attributes:
        probability: softmax over the two answers' logits, of Yes: P(like) in 0..1.
        mass: What the model gave to Yes and No together, of all tokens: in 0..1; see `LOW_MASS`.
        warning: What makes this answer less certain than it looks, in words; empty where nothing does.
    """

    probability: float
    mass: float
    warning: str = ""


def from_logits(logits: np.ndarray, yes: int, no: int) -> list[Answer]:
    """Answers from next-token logits.

    Args:
        logits: [n, vocabulary].
        yes: Token id of Yes.
        no: Token id of No.

    >>> (answer,) = from_logits(np.log([[0.6, 0.2, 0.2]]), 0, 1)
    >>> round(answer.probability, 9), round(answer.mass, 9)
    (0.75, 0.8)
    """
    logits = logits.astype(np.float64)
    top = logits.max(axis=1)
    both = np.exp(logits[:, [yes, no]] - top[:, None]).sum(axis=1)
    every = np.exp(logits - top[:, None]).sum(axis=1)
    return [
        Answer(sigmoid(float(difference)), float(mass))
        for difference, mass in zip(logits[:, yes] - logits[:, no], both / every, strict=True)
    ]


def from_probabilities(yes: float, no: float, *, warning: str = "") -> Answer:
    """An answer from the true probabilities (over the whole vocabulary) of the two tokens; both zero says nothing and gives 0.5.

    >>> from_probabilities(0.6, 0.2).mass
    0.8
    """
    mass = yes + no
    return Answer(yes / mass if mass > 0 else 0.5, min(mass, 1.0), warning=warning)


def sigmoid(difference: float) -> float:
    """1 / (1 + exp(-difference)), without overflow."""
    if difference >= 0:
        return 1.0 / (1.0 + math.exp(-difference))
    return math.exp(difference) / (1.0 + math.exp(difference))


def calibrated(probability: float, temperature: float, shift: float = 0.0) -> float:
    """P with the logit difference of Yes and No, less a shift, divided by a temperature (Guo et al. 2017; Platt 1999).

    >>> calibrated(0.8, 1.0), round(calibrated(0.8, 2.0), 4), calibrated(0.5, 3.0)
    (0.8, 0.6667, 0.5)
    """
    if temperature == 1.0 and not shift:
        return probability
    inside = min(max(probability, 1e-300), 1.0 - 2.0**-53)
    return sigmoid((math.log(inside) - math.log1p(-inside) - shift) / temperature)
