"""Training events as arrays: who judged what, how, and what was known of that user strictly before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from score_rag.crm.interface import UserHistory
from score_rag.crm.rates import smoothed
from score_rag.data.choices import History
from score_rag.data.columns import grouped
from score_rag.data.ids import numbered
from score_rag.data.interactions import Interactions
from score_rag.data.log import Event

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Judgements", "RepeatedQuestions", "counts", "data_digest", "item_counts", "once", "tokens"]

_T = TypeVar("_T")


@dataclass(frozen=True)
class Judgements:
    """Targets, grouped by user, in time order; sampled negatives are targets and nothing else.

    Attributes:
        users: Ids by number, in order of their first event.
        user: int64 [n].
        item: int64 [n], places from 1 (0 is padding).
        liked: int64 [n], 0 or 1.
        known: int64 [n]: so many of the user's tokens are earlier than the event.
        before: float32 [n, 3]: of the user's earlier judgements, how many were likes, how many they were, and how many likes their items'
            rates let expect. Zeros where only positives are read: the share of likes then says nothing.
        tokens: Per user, what is read of them: item places, negative where disliked.
        until: int64 [users]: time of each user's last training judgement.
        rates: float64 [items + 1]: smoothed like-rates, by place.
    """

    users: list[str]
    user: np.ndarray
    item: np.ndarray
    liked: np.ndarray
    known: np.ndarray
    before: np.ndarray
    tokens: list[np.ndarray]
    until: np.ndarray
    rates: np.ndarray

    @classmethod
    def of(cls, interactions: Interactions, place: dict[str, int], history: History) -> Judgements:
        """From the training events, background among them; `place` gives an item's place from 0."""
        events = interactions.learned
        owner, users = numbered(events["user_id"])
        order = grouped(owner, len(users))
        user, item = owner[order].astype(np.int64), _places_of(events["item_id"], place)[order] + 1
        liked, time, sampled = (events[name].to_numpy()[order] for name in ("label", "timestamp", "sampled"))
        liked = liked.astype(np.int64)
        totals = np.stack([np.bincount(item, weights=weights, minlength=len(place) + 1) for weights in (liked, np.ones(len(item)))], axis=1)
        rates = smoothed(totals)
        starts = np.searchsorted(user, np.arange(len(users)))
        # What each event is asked with: everything of its user before the first row of its second, or (ties: file-order) before itself.
        rows = np.arange(len(user))
        first = np.ones(len(user), dtype=bool)
        first[1:] = (np.diff(user) != 0) | (np.diff(time) != 0)
        asked = np.maximum.accumulate(np.where(first, rows, 0)) if interactions.ties == "strict" else rows
        read = ~sampled & ((liked == 1) | (history == "all"))
        known = _earlier(read.astype(np.int64), user, starts)[asked]
        before = np.zeros((len(user), 3), dtype=np.float32)
        if history == "all":
            before[:, 0] = _earlier(liked * ~sampled, user, starts)[asked]
            before[:, 1] = _earlier((~sampled).astype(np.int64), user, starts)[asked]
            before[:, 2] = _running(rates[item] * ~sampled, starts)[asked]
        signed, ends = np.where(liked == 1, item, -item), np.cumsum(np.bincount(user[read], minlength=len(users)))
        told = np.split(signed[read], ends[:-1]) if len(users) else []
        until = time[np.append(starts[1:], len(user)) - 1] if len(users) else np.zeros(0, dtype=np.int64)
        return cls(users.to_list(), user, item, liked, known, before, told, until, rates)

    def __len__(self) -> int:
        return len(self.user)


def _places_of(ids: pl.Series, place: Mapping[str, int]) -> np.ndarray:
    """int64 [n]: the places of a column's ids."""
    numbers, names = numbered(ids)
    places: np.ndarray = np.array([place[name] for name in names], dtype=np.int64)[numbers]
    return places


def _earlier(values: np.ndarray, user: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Sums of whole numbers [n], grouped by user, over the user's earlier rows."""
    sums = np.cumsum(values) - values
    return np.asarray(sums - sums[starts][user])


def _running(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """`_earlier` of float64 [n]: each user's rows are added one by one, so that nobody's sum depends on anybody else's rows."""
    out = np.zeros(len(values))
    lengths = np.diff(np.append(starts, len(values)))
    # All users take their next row at once; those with few rows drop out first.
    order = np.argsort(-lengths, kind="stable")
    left = np.searchsorted(-lengths[order], -np.arange(1, lengths.max(initial=0) + 1), side="right")
    sums = np.zeros(len(starts))
    for rank, count in enumerate(left):
        rows = starts[order[:count]] + rank
        out[rows] = sums[:count]
        sums[:count] += values[rows]
    return out


def tokens(events: Iterable[Event], place: dict[str, int], history: History) -> list[int]:
    """What a sequence model reads: item places from 1, negative where disliked (left out where only positives are read).

    >>> tokens([Event("u", "a", True, 1), Event("u", "b", False, 2)], {"a": 0, "b": 1}, "all")
    [1, -2]
    """
    signed = ((place[e.item_id] + 1) * (1 if e.liked else -1) for e in events)
    return [token for token in signed if token > 0 or history == "all"]


def counts(asked: Sequence[UserHistory], place: dict[str, int], rates: np.ndarray, history: History) -> np.ndarray:
    """float32 [n, 3], as `Judgements.before`, of histories."""
    return once(asked, "counts", lambda asked: _counts(asked, place, rates, history))


def _counts(asked: Sequence[UserHistory], place: dict[str, int], rates: np.ndarray, history: History) -> np.ndarray:
    out = np.zeros((len(asked), 3), dtype=np.float32)
    if history == "all":
        for row, one in enumerate(asked):
            expected = float(rates[[place[event.item_id] + 1 for event in one.history]].sum()) if one.history else 0.0
            out[row] = sum(event.liked for event in one.history), len(one.history), expected
    return out


class RepeatedQuestions(list[UserHistory]):
    """Questions that one fit asks again after every epoch: what is read of their histories is worked out once."""

    def __init__(self, asked: Iterable[UserHistory]) -> None:
        super().__init__(asked)
        self.kept: dict[str, Any] = {}


def once(asked: Sequence[UserHistory], name: str, make: Callable[[Sequence[UserHistory]], _T]) -> _T:
    """`make(asked)`, kept under a name where the questions are repeated ones; it must not depend on what is learned by epoch."""
    if not isinstance(asked, RepeatedQuestions):
        return make(asked)
    if name not in asked.kept:
        asked.kept[name] = make(asked)
    found: _T = asked.kept[name]
    return found


def data_digest(interactions: Interactions) -> str:
    """A word for the events and the catalogue: a checkpoint of other data is never resumed."""
    import polars as pl

    events = interactions.events.select(pl.col("user_id", "item_id", "split").cast(pl.String), "event", "label", "timestamp", "sampled")
    told = interactions.items.select("item_id", "year", pl.col("genres").list.join("|"))
    return f"{events.hash_rows(seed=1).sum()} {told.with_row_index().hash_rows(seed=1).sum()} {interactions.ties}"


def item_counts(judged: Judgements, items: int) -> np.ndarray:
    """float32 [items + 1, 2]: liked and all training judgements of each item; row 0 is padding."""
    out = np.zeros((items + 1, 2), dtype=np.float32)
    np.add.at(out[:, 0], judged.item, judged.liked)
    np.add.at(out[:, 1], judged.item, 1)
    return out
