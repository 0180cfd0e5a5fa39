"""The bundled assessor: rules in a language model's place, for machines without one.

It looks up what a language model would have to guess: the item itself, items that other users judged alike, what shares its makers, rare
themes and genres. It says of itself that it is rule-based; it is a stand-in for the conversation, not for the thinking.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import polars as pl

from score_rag.data.ids import numbered
from score_rag.data.interactions import Interactions
from score_rag.reranker.assessment import AssessmentRequest

__all__ = ["OFFLINE_MODEL", "OfflineAssessor"]

OFFLINE_MODEL = "score-rag/offline"
REASON = "rule-based, written by score-rag/offline from catalogue and training statistics; no language model was asked"


class OfflineAssessor:
    """Writes assessments from the catalogue and from training events strictly before a question.

    Args:
        interactions: Their training events and catalogue are used, nothing else.
    """

    def __init__(self, interactions: Interactions) -> None:
        self.catalogue = interactions.catalogue
        events = interactions.learned.filter(~pl.col("sampled"))
        self._place = {item_id: place for place, item_id in enumerate(self.catalogue)}
        self._names = list(self.catalogue)
        self._times = events["timestamp"].to_numpy()
        self._users, users = numbered(events["user_id"])
        items, names = numbered(events["item_id"])
        self._items = np.array([self._place[name] for name in names], dtype=np.int64)[items]
        self._signs = np.where(events["label"].to_numpy() != 0, 1.0, -1.0)
        self._opinions = len(users)
        self._rarity = Counter(fact for item in self.catalogue.values() for fact in (*item.genres, *item.creators, *item.keywords))

    def characteristics(self, user_id: str, item_id: str, as_of: int, *, alike: int = 4) -> list[str]:
        """What to look for in other users' behaviour, most helpful first."""
        item = self.catalogue[item_id]
        told = [f"Judged {item.name}"]
        near = self.judged_alike(item_id, as_of, alike)
        if near:
            told.append("Liked: " + "; ".join(self.catalogue[other].name for other in near))
        if item.creators:
            told.append("Judged others by " + ", ".join(item.creators))
        themes = sorted(item.keywords, key=lambda word: self._rarity[word])
        if themes:
            told.append("Themes: " + ", ".join(themes[:3]))
        if item.genres:
            told.append("Mostly likes or dislikes " + ", ".join(item.genres) + (f", {item.decade}" if item.decade else ""))
        return told

    def judged_alike(self, item_id: str, as_of: int, count: int) -> list[str]:
        """Items whose judgements by the same users went most with this one's, strictly before `as_of` (shrunk by 3 judgements)."""
        end = int(np.searchsorted(self._times, as_of, side="left"))
        items, users, signs = self._items[:end], self._users[:end], self._signs[:end]
        target = self._place[item_id]
        here = items == target
        if not here.any():
            return []
        opinion = np.zeros(self._opinions)
        opinion[users[here]] = signs[here]
        agree = np.bincount(items, weights=opinion[users] * signs, minlength=len(self._names))
        both = np.bincount(items, weights=np.abs(opinion[users]), minlength=len(self._names))
        score = agree / (both + 3.0)
        score[target] = -np.inf
        order = np.argsort(-score, kind="stable")[:count]
        return [self._names[place] for place in order if score[place] > 0]

    def answer(self, facts: dict[str, Any]) -> str:
        """The assessment of a request's facts, as JSON."""
        found = self.characteristics(str(facts["user_id"]), str(facts["item_id"]), int(facts["as_of"]))
        return json.dumps({"characteristics": found, "reason": REASON}, ensure_ascii=False)

    def ask(self, conversation: list[dict[str, str]], request: AssessmentRequest) -> str:
        """`answer`, in a language model's place: what `assess` takes as its `ask`. Nothing is changed, so any thread may call it."""
        return self.answer({"user_id": request.user_id, "item_id": request.item_id, "as_of": request.as_of})
