"""Every measure of one scorer on the same rows, each with its bootstrap draws; sorted once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from score_rag.errors import InputError
from score_rag.metrics.bootstrap import Bootstrap
from score_rag.metrics.order import checked, of_users, ranks_of
from score_rag.metrics.probability import are_probabilities, bins_of, chance_error, log_losses

__all__ = ["OF_PROBABILITIES", "Measured", "measure", "order_only"]

OF_PROBABILITIES = ("log_loss", "brier", "ece")
"""Measures that only probabilities have."""
_BINS = 10


class Measured(NamedTuple):
    """What was measured of one scorer.

    Attributes:
        values: By measure (`auc`, `uauc`, `ndcg`, `recall`, and `OF_PROBABILITIES` of probabilities): the value and its draws.
        chance_ece: Calibration error that perfect probabilities would show on these rows; None where they are none.
        ranks: int64 [n], of the scores.
    """

    values: dict[str, tuple[float, np.ndarray]]
    chance_ece: float | None
    ranks: np.ndarray


def measure(bootstrap: Bootstrap, scores: np.ndarray, *, probabilities: bool = False, k: int = 10) -> Measured:
    """Measure scores [n] on the rows of a bootstrap.

    Args:
        probabilities: Whether they are meant as P(like).
        k: Of NDCG@k and Recall@k over each user's rows.

    Raises:
        InputError: A score is no finite number, or no probability where it should be.
    """
    _, scores = checked(bootstrap.labels, scores)
    if probabilities and not are_probabilities(scores):
        raise InputError("scores are not probabilities", expected="0 to 1", found=f"{scores.min():.4g} to {scores.max():.4g}")
    ranks = ranks_of(scores)
    own = of_users(bootstrap.numbers, bootstrap.users, bootstrap.labels, ranks, k)
    values = {
        "auc": bootstrap.auc(scores, ranks=ranks),
        "uauc": bootstrap.mean_of_users(own.auc),
        "ndcg": bootstrap.mean_of_users(own.ndcg),
        "recall": bootstrap.mean_of_users(own.recall),
    }
    if not probabilities:
        return Measured(values, None, ranks)
    place = bins_of(ranks, _BINS)
    values["log_loss"] = bootstrap.mean_of_rows(log_losses(bootstrap.labels, scores))
    values["brier"] = bootstrap.mean_of_rows((scores - bootstrap.labels) ** 2)
    values["ece"] = bootstrap.mean_distance(scores - bootstrap.labels, place, _BINS)
    return Measured(values, chance_error(scores, place, bins=_BINS), ranks)


def order_only(bootstrap: Bootstrap, ranks: np.ndarray) -> Measured:
    """AUC and UAUC alone, of rows whose ranks [n] are known (there may be gaps in them)."""
    own = of_users(bootstrap.numbers, bootstrap.users, bootstrap.labels, ranks)
    return Measured({"auc": bootstrap.auc(ranks, ranks=ranks), "uauc": bootstrap.mean_of_users(own.auc)}, None, ranks)
