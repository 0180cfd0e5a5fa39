"""Full ranking: every item of the catalogue is a candidate, none is sampled (Krichene and Rendle 2020: sampled metrics mislead)."""

from __future__ import annotations

import numpy as np
import polars as pl

from score_rag.crm.interface import CollaborativeModel, UserHistory
from score_rag.data.columns import EventColumns
from score_rag.data.interactions import SPLITS, Interactions
from score_rag.data.log import UserLog
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
        log = UserLog(EventColumns.of(interactions.events.filter(pl.col("split").is_in(SPLITS[: SPLITS.index(split)]))))
        judged = log.columns
        liked = EventColumns.of(interactions.events.filter((pl.col("split") == split) & (pl.col("label") == 1)))
        places, new = (np.array([place[item] for item in columns.items], dtype=np.int64) for columns in (judged, liked))
        users: list[str] = []
        self.known: list[np.ndarray] = []
        self.relevant: list[np.ndarray] = []
        for number, user in enumerate(liked.users.names):
            own = judged.users.find(user)
            known = np.unique(places[judged.item[judged.starts[own] : judged.ends[own]]]) if own >= 0 else places[:0]
            relevant = np.setdiff1d(new[liked.item[liked.starts[number] : liked.ends[number]]], known)
            if len(relevant):
                users.append(user)
                self.known.append(known)
                self.relevant.append(relevant)
        if most is not None and len(users) > most:
            kept = np.linspace(0, len(users) - 1, most).astype(int)
            users, self.known, self.relevant = ([rows[n] for n in kept] for rows in (users, self.known, self.relevant))
        self.asked = [UserHistory(log.of(user), user) for user in users]
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
