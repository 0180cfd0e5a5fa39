"""Training events as arrays: who judged what, how, and what was known of that user strictly before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from score_rag.crm.interface import History, UserHistory
from score_rag.crm.rates import smoothed
from score_rag.data.interactions import Interactions, event_rows
from score_rag.data.log import Event

__all__ = ["Judgements", "counts", "data_digest", "item_counts", "tokens"]


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
        """From the training events; `place` gives an item's place from 0."""
        by_user: dict[str, list[Event]] = {}
        for event in event_rows(interactions.learned):
            by_user.setdefault(event.user_id, []).append(event)
        strict = interactions.ties == "strict"
        counts = np.zeros((len(place) + 1, 2))
        for event in (event for events in by_user.values() for event in events):
            counts[place[event.item_id] + 1] += (event.liked, 1)
        rates = smoothed(counts)
        rows: list[tuple[float, ...]] = []
        read: list[np.ndarray] = []
        for number, events in enumerate(by_user.values()):
            rows += _targets(number, events, place, rates, history, strict)
            read.append(np.array(tokens([event for event in events if not event.sampled], place, history), dtype=np.int64))
        table = np.array(rows, dtype=np.float64).reshape(-1, 7)
        whole = table[:, :4].astype(np.int64)
        until = np.array([events[-1].timestamp for events in by_user.values()], dtype=np.int64)
        before = table[:, 4:].astype(np.float32)
        return cls(list(by_user), whole[:, 0], whole[:, 1], whole[:, 2], whole[:, 3], before, read, until, rates)

    def __len__(self) -> int:
        return len(self.user)


def _targets(
    number: int, events: Sequence[Event], place: dict[str, int], rates: np.ndarray, history: History, strict: bool
) -> Iterable[tuple[float, ...]]:
    """(user, item, liked, tokens known, and `before`) of each event of a user."""
    done: list[tuple[int, int, int, int, float]] = [(-1, 0, 0, 0, 0.0)]  # after each judgement: its time, tokens, likes, all, expected
    for event in events:
        last = len(done) - 1
        while strict and last and done[last][0] >= event.timestamp:
            last -= 1
        _, known, liked, judged, expected = done[last]
        yield number, place[event.item_id] + 1, int(event.liked), known, *((liked, judged, expected) if history == "all" else (0, 0, 0))
        if not event.sampled:
            _, known, liked, judged, expected = done[-1]
            known += int(event.liked or history == "all")
            expected += rates[place[event.item_id] + 1]
            done.append((event.timestamp, known, liked + int(event.liked), judged + 1, expected))


def tokens(events: Iterable[Event], place: dict[str, int], history: History) -> list[int]:
    """What a sequence model reads: item places from 1, negative where disliked (left out where only positives are read).

    >>> tokens([Event("u", "a", True, 1), Event("u", "b", False, 2)], {"a": 0, "b": 1}, "all")
    [1, -2]
    """
    signed = ((place[e.item_id] + 1) * (1 if e.liked else -1) for e in events)
    return [token for token in signed if token > 0 or history == "all"]


def counts(asked: Sequence[UserHistory], place: dict[str, int], rates: np.ndarray, history: History) -> np.ndarray:
    """float32 [n, 3], as `Judgements.before`, of histories."""
    out = np.zeros((len(asked), 3), dtype=np.float32)
    if history == "all":
        for row, one in enumerate(asked):
            expected = float(rates[[place[event.item_id] + 1 for event in one.history]].sum()) if one.history else 0.0
            out[row] = sum(event.liked for event in one.history), len(one.history), expected
    return out


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
