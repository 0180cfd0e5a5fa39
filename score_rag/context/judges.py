"""Who judged an item before a question, and how alike they are to the one who asks (CAR's cosine).

Most of the users that are nearest to somebody never judged the item in question and have little to say of it. Its judges do: `crowd` weighs
all of them softly, `nearest` picks the few whose behaviour is worth telling.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from score_rag.context.neighbours import ItemSimilarity
from score_rag.context.question import Question
from score_rag.context.rates import ItemRates
from score_rag.data.interactions import Interactions
from score_rag.data.log import Event
from score_rag.documents.describer import Describer
from score_rag.index.reader import BehaviourIndex, Hit
from score_rag.progress import Report, silent

if TYPE_CHECKING:
    from score_rag.encoders.encoder import Encoder

__all__ = ["Judges"]

_SHARPNESS = 0.2
"""Temperature of the crowd's weights: exp(cosine / .2). Sharper ones (.1, .05) told held-out verdicts worse."""
_MOST = 200
"""Judges of an item that are looked at: the most recent ones."""
_NEAREST_ITEMS = 3
"""Where too few judged an item, so many items most like it count too."""
_CACHED_ITEMS = 100
"""So many items most like one are kept; where too few of them had judges by then, all are looked through."""


class Judges:
    """The judges of items among training users.

    Args:
        interactions: Training events (background among them) are verdicts, sampled negatives are not.
        index: Documents of training users.
        encoder: The one that embedded them.
        describer: Tells the history of somebody without a document.
    """

    def __init__(self, interactions: Interactions, index: BehaviourIndex, encoder: Encoder, describer: Describer) -> None:
        self.index = index
        self.encoder = encoder
        self.describer = describer
        self.similarity = ItemSimilarity(interactions.catalogue)
        self._built = interactions.by_item
        # Of each item that was judged since: times and verdicts, replaced whole.
        self._changed: dict[str, tuple[list[int], list[tuple[str, bool]]]] = {}
        self.rates = ItemRates(interactions)
        self._users: list[str] = index.documents["user_id"].to_list()
        self._until = index.documents["known_until"].to_list()
        self._versions: dict[str, tuple[list[int], list[int]]] = {}
        for place, user in enumerate(self._users):
            times, places = self._versions.setdefault(user, ([], []))
            times.append(self._until[place])
            places.append(place)
        self._near_items: dict[str, list[str]] = {}

    def put(self, event: Event) -> None:
        """Take one more verdict in."""
        times, verdicts = self._own(event.item_id)
        place = bisect_right(times, event.timestamp)
        self._set(event.item_id, [*times[:place], event.timestamp, *times[place:]], [*verdicts[:place], _said(event), *verdicts[place:]])
        self.rates.put(event)

    def drop(self, event: Event) -> None:
        """Forget a verdict."""
        times, verdicts = self._own(event.item_id)
        same = range(bisect_left(times, event.timestamp), bisect_right(times, event.timestamp))
        place = next((place for place in same if verdicts[place] == _said(event)), None)
        if place is not None:
            self._set(event.item_id, [*times[:place], *times[place + 1 :]], [*verdicts[:place], *verdicts[place + 1 :]])
        self.rates.drop(event)

    def _own(self, item_id: str) -> tuple[list[int], list[tuple[str, bool]]]:
        """An item's times and verdicts."""
        changed = self._changed.get(item_id)
        if changed is not None:
            return changed
        start, end = self._built.before(item_id, None)
        return self._built.time[start:end].tolist(), self._said(start, end)

    def _said(self, start: int, end: int) -> list[tuple[str, bool]]:
        names = map(self._built.users.__getitem__, self._built.user[start:end].tolist())
        return list(zip(names, self._built.liked[start:end].tolist(), strict=True))

    def _set(self, item_id: str, times: list[int], verdicts: list[tuple[str, bool]]) -> None:
        is_new = item_id not in self
        self._changed[item_id] = (times, verdicts)
        if is_new:
            # It may be near others now.
            self._near_items = {}

    def __contains__(self, item_id: object) -> bool:
        """Whether anybody ever judged an item."""
        return item_id in self._changed or self._built.items.find(item_id) >= 0

    def describe(self, item_id: str) -> None:
        """An item is new in the catalogue, or is told otherwise."""
        self.similarity.put(item_id)
        self._near_items = {}

    def before(self, item_id: str, as_of: int | None, exclude: str | None) -> dict[str, bool]:
        """The latest verdict of each judge before `as_of`, most recent judges last, without one user's own."""
        if item_id in self._changed:
            times, known = self._changed[item_id]
            end = len(times) if as_of is None else bisect_left(times, as_of)
            verdicts = known[max(0, end - _MOST) : end]
        else:
            start, end = self._built.before(item_id, as_of)
            verdicts = self._said(max(start, end - _MOST), end)
        out: dict[str, bool] = {}
        for user, liked in verdicts:
            out.pop(user, None)
            if user != exclude:
                out[user] = liked
        return out

    def vectors(self, questions: Sequence[Question], *, report: Report = silent) -> list[np.ndarray | None]:
        """A vector of each question's user as known at its time: of their stored document, else of their history; None without either."""
        out: list[np.ndarray | None] = []
        texts: list[str] = []
        for question in questions:
            place = self._place(question.user_id, question.as_of)
            out.append(np.asarray(self.index.vectors[place]) if place is not None else None)
            texts.append("" if place is not None else self.describer.describe(question.history))
        unique = list(dict.fromkeys(text for text in texts if text))
        found = dict(zip(unique, self.encoder.encode(unique, report=report), strict=True)) if unique else {}
        return [vector if vector is not None else found.get(text) for vector, text in zip(out, texts, strict=True)]

    def crowd(self, questions: Sequence[Question]) -> np.ndarray:
        """float64 [n]: share of likes among the item's judges, weighted by exp(cosine / .2); nan where nobody judged it by then."""
        vectors = self.vectors(questions)
        out = np.full(len(questions), np.nan)
        for row, (question, vector) in enumerate(zip(questions, vectors, strict=True)):
            judged = self.before(question.item_id, question.as_of, question.user_id)
            places, liked = self._visible(judged, question.as_of)
            if not len(places):
                continue
            weights = np.ones(len(places))
            if vector is not None:
                weights = np.exp((np.asarray(self.index.vectors[places]) @ vector).astype(np.float64) / _SHARPNESS)
                weights /= weights.mean()
            out[row] = self.rates.smoothed(float(weights @ liked), len(places), question.as_of)
        return out

    def nearest(self, questions: Sequence[Question], vectors: Sequence[np.ndarray | None], k: int) -> list[list[Hit]]:
        """For each question at most `k` users who judged its item, most alike first; then such as judged the items most like it.

        Args:
            vectors: Of each question's user; None has no neighbours.
        """
        return [[] if vector is None else self._nearest(question, vector, k) for question, vector in zip(questions, vectors, strict=True)]

    def candidates(self, question: Question) -> Iterator[np.ndarray]:
        """Places of documents that may be told, pool by pool: of the item's judges, then of the judges of items most like it."""
        judged = self.before(question.item_id, question.as_of, question.user_id)
        places, _ = self._visible(judged, question.as_of)
        yield places
        known = {self._users[place] for place in places.tolist()}
        near: dict[str, bool] = {}
        for item in self._items_near(question.item_id, question.as_of):
            near |= {user: liked for user, liked in self.before(item, question.as_of, question.user_id).items() if user not in known}
        yield self._visible(near, question.as_of)[0]

    def _nearest(self, question: Question, vector: np.ndarray, k: int) -> list[Hit]:
        hits: list[Hit] = []
        for places in self.candidates(question):
            scores = np.asarray(self.index.vectors[places]) @ vector
            best = np.argsort(-scores, kind="stable")[: k - len(hits)]
            hits += [self.index.hit_at(place, score) for place, score in zip(places[best].tolist(), scores[best].tolist(), strict=True)]
            if len(hits) == k:
                break
        return hits

    def _visible(self, judged: dict[str, bool], as_of: int | None) -> tuple[np.ndarray, np.ndarray]:
        """(Places of the judges' documents at that time, their verdicts as 0 and 1); judges without a document are left out."""
        found = [(place, liked) for user, liked in judged.items() if (place := self._place(user, as_of)) is not None]
        return np.array([place for place, _ in found], dtype=np.int64), np.array([float(liked) for _, liked in found])

    def _place(self, user_id: str | None, as_of: int | None) -> int | None:
        """Place of the user's document that is visible at `as_of`."""
        if user_id is None or user_id not in self._versions:
            return None
        times, places = self._versions[user_id]
        at = len(times) if as_of is None else bisect_left(times, as_of)
        return places[at - 1] if at else None

    def _items_near(self, item_id: str, as_of: int | None) -> list[str]:
        """The items most like one, of those that were judged before `as_of`."""
        near = self._near_items
        if item_id not in near:
            near[item_id] = self.similarity.nearest(item_id, self, _CACHED_ITEMS)
        found = [item for item in near[item_id] if self._judged(item, as_of)][:_NEAREST_ITEMS]
        if len(found) == _NEAREST_ITEMS or len(near[item_id]) < _CACHED_ITEMS:
            return found
        # A copy: another thread may put in a verdict on an item that nobody judged before.
        every = dict.fromkeys([*self._built.items.names, *list(self._changed)])
        return self.similarity.nearest(item_id, {item for item in every if self._judged(item, as_of)}, _NEAREST_ITEMS)

    def _judged(self, item_id: str, as_of: int | None) -> bool:
        """Whether anybody had judged it before `as_of`: an item that is judged later must not take the place of another."""
        if item_id in self._changed:
            times = self._changed[item_id][0]
            return bool(times) and (as_of is None or times[0] < as_of)
        start, end = self._built.before(item_id, as_of)
        return end > start


def _said(event: Event) -> tuple[str, bool]:
    return event.user_id, event.liked
