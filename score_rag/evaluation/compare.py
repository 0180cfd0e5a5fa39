"""Scorers in pairs on the same events: which differences of AUC, UAUC and log-loss are more than chance."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from score_rag.evaluation.compare_sources import Joined
from score_rag.evaluation.comparison import Compared, Comparison, PairTest
from score_rag.metrics.bootstrap import Bootstrap
from score_rag.metrics.measures import measure
from score_rag.metrics.order import of_users
from score_rag.metrics.paired import auc_parts, holm, mean_parts, sign_test, uauc_parts
from score_rag.metrics.probability import log_losses

__all__ = ["compare"]


def compare(joined: Joined, *, resamples: int = 1000, permutations: int = 10_000, alpha: float = 0.05, seed: int = 0) -> Comparison:
    """Test every pair of scorers by AUC, UAUC, and log-loss where both are probabilities.

    Each pair and measure has a paired bootstrap over users (the interval, and a p-value) and a permutation test (scorers swapped user by
    user); Holm's correction is over all pairs and measures, of the permutation test's p-values.

    Args:
        resamples: Draws of users.
        permutations: Random swaps.
        alpha: A difference is significant where its corrected p is at most this.
    """
    bootstrap = Bootstrap(joined.users, joined.labels, resamples=resamples, seed=seed)
    users, count, labels = bootstrap.numbers, bootstrap.users, bootstrap.labels
    taken = {name: measure(bootstrap, scores, probabilities=name in joined.probabilities) for name, scores in joined.scores.items()}
    own = {name: of_users(users, count, labels, found.ranks) for name, found in taken.items()}
    losses = {name: log_losses(labels, joined.scores[name]) for name in joined.probabilities}
    parts: list[np.ndarray] = []
    pairs: list[tuple[str, str, str]] = []
    for first, second in combinations(taken, 2):
        pairs += [(first, second, "auc"), (first, second, "uauc")]
        parts.append(auc_parts(labels, taken[first].ranks, taken[second].ranks, users, count))
        parts.append(uauc_parts(own[first], own[second]))
        if first in losses and second in losses:
            pairs.append((first, second, "log_loss"))
            parts.append(mean_parts(losses[first], losses[second], users, count))
    # Users who are drawn together are swapped together: as exact a test, of fewer units.
    grouped = [np.bincount(bootstrap.group_of_user, weights=part, minlength=bootstrap.groups) for part in parts]
    swapped = sign_test(np.stack(grouped, axis=1), permutations=permutations, seed=seed)
    drawn = [(taken[first].values[name], taken[second].values[name]) for first, second, name in pairs]
    # What is undefined is no test, and makes the correction of the others no harder.
    swapped[[np.isnan(one[0] - other[0]) for one, other in drawn]] = np.nan
    tests = []
    for (first, second, name), (one, other), p, corrected in zip(pairs, drawn, swapped, holm(swapped), strict=True):
        difference = Bootstrap.interval(one[0] - other[0], one[1] - other[1])
        tests.append(PairTest(first, second, name, difference, Bootstrap.p_value(one[1], other[1]), float(p), float(corrected)))
    systems = tuple(
        Compared(name, *(Bootstrap.interval(*found.values[one]) if one in found.values else None for one in ("auc", "uauc", "log_loss")))
        for name, found in taken.items()
    )
    both = int((~np.isnan(next(iter(own.values())).auc)).sum())
    return Comparison(systems, tuple(tests), len(labels), count, both, alpha, resamples, permutations, joined.notes)
