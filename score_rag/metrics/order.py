"""Labels in the order of their scores, over all rows and within each user: what AUC, UAUC, NDCG and Recall are counted from.

Everything is sorting and counting, without a loop over users. Equal scores share a rank; nothing depends on the order of the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from score_rag.errors import InputError

__all__ = ["OfUsers", "auc_of_ranks", "checked", "checked_labels", "of_users", "placements", "rank_counts", "ranks_of", "user_numbers"]


Counts = tuple[np.ndarray, np.ndarray]
"""(disliked, liked) rows of each rank."""


class OfUsers(NamedTuple):
    """One value a user, float64 [users]; nan where it is undefined.

    Attributes:
        auc: Needs both classes.
        ndcg: NDCG@k of the user's rows; needs a liked row.
        recall: Recall@k of the user's rows; needs a liked row.
        positives: Liked rows.
        negatives: Disliked rows.
    """

    auc: np.ndarray
    ndcg: np.ndarray
    recall: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray


def checked(labels: Any, scores: Any) -> tuple[np.ndarray, np.ndarray]:
    """(labels as int8 [n], scores as float64 [n]).

    Raises:
        InputError: Lengths differ, a label is not 0 or 1, or a score is not a finite number.
    """
    labels, scores = checked_labels(labels), np.asarray(scores, dtype=np.float64)
    if labels.shape != scores.shape or labels.ndim != 1:
        raise InputError(
            "labels and scores do not fit together", expected="two rows of one length", found=f"{labels.shape}, {scores.shape}"
        )
    if not np.isfinite(scores).all():
        raise InputError("scores must be finite numbers", found=f"{int((~np.isfinite(scores)).sum())} that are not")
    return labels, scores


def checked_labels(labels: Any) -> np.ndarray:
    """int8 [n].

    Raises:
        InputError: One is not 0 or 1.
    """
    labels = np.asarray(labels)
    right = (labels == 0) | (labels == 1)
    if not right.all():
        raise InputError("labels must be 0 or 1", found=sorted(set(labels[~right][:1000].tolist()), key=str)[:5])
    found: np.ndarray = labels.astype(np.int8)
    return found


def user_numbers(user_ids: Sequence[Any] | np.ndarray | pl.Series) -> tuple[np.ndarray, list[Any]]:
    """(int64 [n]: each row's user, the users), users numbered in order of first appearance.

    >>> numbers, users = user_numbers(["b", "a", "b"])
    >>> numbers.tolist(), users
    ([0, 1, 0], ['b', 'a'])

    Raises:
        InputError: A row has no user.
    """
    if not isinstance(user_ids, pl.Series):
        plain = user_ids.tolist() if isinstance(user_ids, np.ndarray) and user_ids.dtype == object else user_ids
        user_ids = pl.Series("user", plain)
    if user_ids.null_count():
        raise InputError("a row has no user", where="user_id", found=f"{user_ids.null_count():,} rows without one")
    column = user_ids.alias("user").to_frame()
    users = column.unique(maintain_order=True)
    numbers = column.join(users.with_row_index("number"), on="user", how="left", maintain_order="left")["number"]
    return numbers.cast(pl.Int64).to_numpy(), users["user"].to_list()


def ranks_of(scores: np.ndarray) -> np.ndarray:
    """int64 [n]: 0 for the lowest score; equal scores share a rank.

    >>> ranks_of(np.array([0.5, 0.1, 0.5])).tolist()
    [1, 0, 1]
    """
    order = np.argsort(scores)
    ordered = scores[order]
    rank = np.empty(len(scores), dtype=np.int64)
    rank[order] = np.cumsum(np.concatenate([[False], ordered[1:] != ordered[:-1]])) if len(scores) else 0
    return rank


def auc_of_ranks(labels: np.ndarray, ranks: np.ndarray, *, counts: Counts | None = None) -> float:
    """Share of (liked, disliked) pairs in the right order, ties counting half; nan where one class is missing.

    Args:
        counts: Of `rank_counts`, where they are known already.
    """
    disliked, liked = rank_counts(labels, ranks) if counts is None else counts
    pairs = liked.sum() * disliked.sum()
    return float((liked * (np.cumsum(disliked) - 0.5 * disliked)).sum() / pairs) if pairs else float("nan")


def placements(labels: np.ndarray, ranks: np.ndarray, *, counts: Counts | None = None) -> np.ndarray:
    """float64 [n]: of a liked row the share of disliked rows below it, of a disliked one the share of liked rows above it.

    The mean over either class is the AUC: these are DeLong's structural components.
    """
    disliked, liked = rank_counts(labels, ranks) if counts is None else counts
    below = (np.cumsum(disliked) - 0.5 * disliked) / max(1.0, disliked.sum())
    above = (liked.sum() - np.cumsum(liked) + 0.5 * liked) / max(1.0, liked.sum())
    # One look-up a row: the two tables lie one after the other.
    placed: np.ndarray = np.concatenate([above, below])[ranks + len(above) * labels.astype(np.int64)]
    return placed


def of_users(users: np.ndarray, count: int, labels: np.ndarray, ranks: np.ndarray, k: int = 10) -> OfUsers:
    """AUC, NDCG@k and Recall@k of each user's own rows.

    Rows with equal scores share their places, so each counts what it would on average if they were shuffled (McSherry and Najork,
    2008); NDCG's ideal has min(k, liked) rows, as trec_eval's.

    Args:
        users: int64 [n], each row's user, below `count`.
        count: Number of users.
        labels: [n] of 0 and 1.
        ranks: int64 [n], of `ranks_of`.
    """
    if not len(ranks):
        nothing = np.full(count, np.nan)
        return OfUsers(nothing, nothing, nothing, np.zeros(count), np.zeros(count))
    # One key of user, rank and label sorts all three at once; its parts are read from it again.
    bits = int(ranks.max()).bit_length()
    key = (((users << bits) | ranks) << 1) | labels
    key.sort()
    group = key >> 1
    starts = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]]))
    owner = group[starts] >> bits
    del group
    liked = np.add.reduceat(key & 1, starts).astype(np.float64)
    size = np.diff(np.append(starts, len(key))).astype(np.float64)
    del key
    disliked = size - liked
    positives = np.bincount(owner, weights=liked, minlength=count)
    negatives = np.bincount(owner, weights=disliked, minlength=count)
    first = np.cumsum(positives + negatives) - (positives + negatives)
    below = np.cumsum(disliked) - 0.5 * disliked - (np.cumsum(negatives) - negatives)[owner]
    won = np.bincount(owner, weights=liked * below, minlength=count)
    del below
    with np.errstate(invalid="ignore"):
        auc = won / (positives * negatives)
        # Places from the best: how many of the user's rows stand above this group.
        above = ((positives + negatives)[owner] - (starts - first[owner]) - size).astype(np.int64)
        end = np.minimum(above + size.astype(np.int64), k)
        above = np.minimum(above, k)
        worth = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(k) + 2))])
        share = liked / size
        gained = np.bincount(owner, weights=share * (worth[end] - worth[above]), minlength=count)
        found = np.bincount(owner, weights=share * (end - above), minlength=count)
        ideal = worth[np.minimum(positives, k).astype(np.int64)]
        return OfUsers(auc, gained / ideal, found / positives, positives, negatives)


def rank_counts(labels: np.ndarray, ranks: np.ndarray) -> Counts:
    """(disliked, liked) rows of each rank, as float64: products of counts may pass 2^63."""
    size = int(ranks.max()) + 1 if len(ranks) else 0
    both = np.bincount(2 * ranks + labels, minlength=2 * size).astype(np.float64)
    return both[::2], both[1::2]
