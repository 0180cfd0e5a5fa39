"""Full ranking: every item of the catalogue is a candidate, none is sampled (Krichene and Rendle 2020: sampled metrics mislead)."""

from __future__ import annotations

import numpy as np
import polars as pl

from score_rag.crm.interface import CollaborativeModel, UserHistory
from score_rag.data.interactions import SPLITS, Interactions, event_rows
from score_rag.metrics.ranking import Ranked, ndcg_and_recall

__all__ = ["RankingTask"]


class RankingTask:
    """Who is asked, what must not be recommended to them, and what they went on to like.

    A user's history is their judgements of the splits before `split`, background among them; what is in it is no candidate. Users who
    liked nothing new in `split` are left out.

    Args:
        interactions: Events and catalogue.
        split: `valid` or `test`.
        most: At most so many users, evenly spaced; all where it is None.
    """

    def __init__(self, interactions: Interactions, split: str, *, most: int | None = None) -> None:
        place = {item_id: number for number, item_id in enumerate(interactions.catalogue)}
        earlier: dict[str, list] = {}  # type: ignore[type-arg]
        for event in event_rows(interactions.events.filter(pl.col("split").is_in(SPLITS[: SPLITS.index(split)]))):
            if not event.sampled:
                earlier.setdefault(event.user_id, []).append(event)
        liked: dict[str, set[int]] = {}
        for event in interactions.rows(split):
            if event.liked and not event.sampled:
                liked.setdefault(event.user_id, set()).add(place[event.item_id])
        self.asked: list[UserHistory] = []
        self.known: list[np.ndarray] = []
        self.relevant: list[np.ndarray] = []
        for user, items in liked.items():
            known = {place[event.item_id] for event in earlier.get(user, ())}
            if items - known:
                self.asked.append(UserHistory(earlier.get(user, []), user))
                self.known.append(np.array(sorted(known), dtype=np.int64))
                self.relevant.append(np.array(sorted(items - known), dtype=np.int64))
        if most is not None and len(self.asked) > most:
            kept = np.linspace(0, len(self.asked) - 1, most).astype(int)
            self.asked, self.known, self.relevant = ([rows[n] for n in kept] for rows in (self.asked, self.known, self.relevant))
        self.items = len(place)

    def __len__(self) -> int:
        return len(self.asked)

    def rank(self, model: CollaborativeModel, k: int = 10, *, block: int = 256) -> Ranked:
        """Ask a model, `block` users at a time."""
        every = np.arange(self.items)
        tops: list[np.ndarray] = []
        for start in range(0, len(self), block):
            part = slice(start, start + block)
            for scores, known in zip(model.score_places(self.asked[part], [every] * len(self.asked[part])), self.known[part], strict=True):
                scores = scores.copy()
                scores[known] = -np.inf
                tops.append(np.argsort(-scores, kind="stable")[:k])
        return ndcg_and_recall(tops, self.relevant, k)
