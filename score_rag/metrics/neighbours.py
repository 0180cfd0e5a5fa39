"""How good retrieved users are: whether they are the ones that were meant, share the asking user's tastes, and foretell their likes.

Users and items go by number here; whoever asks brings the lists of users that were retrieved for them, best first. Every measure is one
value (or pair of values) an asking user, so that intervals are of users: `mean` and `ratio` draw them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from score_rag.data.log import Item, UserLog
from score_rag.metrics.bootstrap import Bootstrap, Interval

__all__ = ["agreement", "coherence", "mean", "nearest_users", "ratio", "taste_profiles"]


def nearest_users(scores: np.ndarray, asked: np.ndarray, k: int) -> np.ndarray:
    """The `k` users with the highest scores for each who asks, best first; nobody finds themselves, ties go to the earlier user.

    Args:
        scores: [asked, users].
        asked: int [asked]: who asks.
        k: Less than the number of users.

    Returns:
        int64 [asked, k].

    >>> nearest_users(np.array([[9.0, 1.0, 2.0]]), np.array([0]), 2).tolist()
    [[2, 1]]
    """
    scores = np.array(scores, dtype=np.float64)
    scores[np.arange(len(asked)), asked] = -np.inf
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def taste_profiles(log: UserLog, users: Sequence[str], catalogue: Mapping[str, Item], traits: Sequence[str]) -> np.ndarray:
    """How each user's likes spread over the values of some traits, as differences from all users' mean.

    A liked item weighs 1, parted evenly among its values (a film of two genres gives half to each).

    Args:
        log: Likes are read from it.
        users: Rows of the result.
        catalogue: Items by id.
        traits: Of `genres`, `creators`, `keywords`.

    Returns:
        float64 [users, values]; no columns where no liked item has such a trait. Somebody without likes is a row of zeros.
    """
    places: dict[tuple[str, str], int] = {}
    rows: list[dict[int, float]] = []
    for user in users:
        row: dict[int, float] = {}
        for event in log.of(user):
            item = catalogue[event.item_id]
            values = [(trait, value) for trait in traits for value in dict.fromkeys(getattr(item, trait))] if event.liked else []
            for value in values:
                place = places.setdefault(value, len(places))
                row[place] = row.get(place, 0.0) + 1 / len(values)
        rows.append(row)
    out = np.zeros((len(users), len(places)))
    for number, row in enumerate(rows):
        total = sum(row.values())
        for place, weight in row.items():
            out[number, place] = weight / total
    there = out.any(axis=1)
    if there.any():
        out[there] -= out[there].mean(axis=0)
    return out


def coherence(profiles: np.ndarray, asked: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Mean cosine between the asking user's taste and those of the users found: 1 is the same taste, about 0 is what chance finds.

    Because profiles are differences from the mean, that everybody likes dramas makes nobody alike.

    Args:
        profiles: Of `taste_profiles`.
        asked: int [asked].
        found: int [asked, k].

    Returns:
        [asked]; nan where nothing is known of the asking user.

    >>> coherence(np.array([[1.0, -1.0], [2.0, -2.0], [-1.0, 1.0]]), np.array([0]), np.array([[1, 2]])).round(6).tolist()
    [0.0]
    """
    lengths = np.linalg.norm(profiles, axis=1, keepdims=True)
    unit = np.divide(profiles, lengths, out=np.zeros_like(profiles), where=lengths > 0)
    cosines = np.einsum("ad,akd->ak", unit[asked], unit[found])
    values: np.ndarray = np.where(unit[asked].any(axis=1), cosines.mean(axis=1), np.nan)
    return values


def agreement(likes: Sequence[Iterable[int]], later: Sequence[Iterable[int]], found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How often the users found had liked what the asking user went on to like, and how often chance would let them have.

    No recommender has a say in it. Chance: items and users liked as often as they were, but independently; so neither popular items nor
    people who like everything count for anything. The ratio of the two (see `ratio`) is 1 for randomly sampled users.

    Args:
        likes: Of each user, the items liked in train.
        later: Of each who asks, the items liked afterwards.
        found: int [asked, k].

    Returns:
        (likes that came true, likes that chance expects), each [asked]: sums over later items and found users.

    >>> came, expected = agreement([{0, 1}, {0}, {2}], [[0]], np.array([[1]]))
    >>> float(came[0]), float(expected[0]) == 1 * 2 / 4
    (1.0, True)
    """
    known = [set(items) for items in likes]
    counts: dict[int, int] = {}
    for theirs in known:
        for item in theirs:
            counts[item] = counts.get(item, 0) + 1
    total = sum(counts.values())
    came, expected = np.zeros(len(later)), np.zeros(len(later))
    for row, (items, others) in enumerate(zip(later, found, strict=True)):
        wanted = set(items)
        came[row] = sum(len(wanted & known[other]) for other in others)
        expected[row] = sum(counts.get(item, 0) for item in wanted) * sum(len(known[other]) for other in others) / max(total, 1)
    return came, expected


def mean(values: np.ndarray, *, resamples: int = 1000, seed: int = 0) -> Interval:
    """The mean over users, with its 95 % interval; users without a value (nan) are left out.

    >>> mean(np.array([1.0, 1.0, np.nan]))
    Interval(value=1.0, low=1.0, high=1.0)
    """
    values = values[~np.isnan(values)]
    return ratio(values, np.ones(len(values)), resamples=resamples, seed=seed)


def ratio(above: np.ndarray, below: np.ndarray, *, resamples: int = 1000, seed: int = 0) -> Interval:
    """Sum over users of `above` by sum over users of `below`, with its 95 % interval (both use the same bootstrap samples).

    >>> ratio(np.array([2.0, 4.0]), np.array([1.0, 2.0]))
    Interval(value=2.0, low=2.0, high=2.0)
    """
    if not len(above) or not below.sum():
        return Interval(float("nan"), float("nan"), float("nan"))
    drawn = np.random.default_rng(seed).integers(0, len(above), (resamples, len(above)))
    bottom = below[drawn].sum(axis=1)
    draws = np.divide(above[drawn].sum(axis=1), bottom, out=np.full(resamples, np.nan), where=bottom > 0)
    return Bootstrap.interval(float(above.sum() / below.sum()), draws)
