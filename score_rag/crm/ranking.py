"""Full ranking: every item of the catalogue is a candidate, none is sampled (Krichene and Rendle 2020: sampled metrics mislead)."""

from __future__ import annotations

import numpy as np
import polars as pl

from score_rag.crm.interface import CollaborativeModel, UserHistory
from score_rag.data.interactions import SPLITS, Interactions
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
        before = SPLITS[: SPLITS.index(split)]
        log, pairs = interactions.log_of(before), ["user_id", "item_id"]
        judged = interactions.events.filter(~pl.col("sampled"))
        liked = judged.filter((pl.col("split") == split) & (pl.col("label") != 0)).select(pairs)
        new = liked.join(judged.filter(pl.col("split").is_in(before)).select(pairs), on=pairs, how="anti", maintain_order="left")
        users = liked["user_id"].unique(maintain_order=True)
        users = users.filter(users.is_in(new["user_id"].unique().implode()))
        if most is not None and len(users) > most:
            users = users[np.linspace(0, len(users) - 1, most).astype(int)]
        wanted: dict[str, set[int]] = {user: set() for user in users}
        for user, item in new.filter(pl.col("user_id").is_in(users.implode())).iter_rows():
            wanted[user].add(place[item])
        known = [{place[event.item_id] for event in log.of(user)} for user in wanted]
        self.known = [np.array(sorted(items), dtype=np.int64) for items in known]
        self.relevant = [np.array(sorted(items), dtype=np.int64) for items in wanted.values()]
        self.asked = [UserHistory(log.of(user), user) for user in wanted]
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
