"""Other users as a prompt tells them: what their behaviour says about the item in question.

Everything is read from training events strictly before the question's time: a neighbour's verdict on the very item may be told only
if it was already given.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from score_rag.context.levels import Fact, Levels
from score_rag.data.log import Event, Item, UserLog

if TYPE_CHECKING:
    from score_rag.index.reader import Hit

__all__ = ["ItemSimilarity", "Neighbour", "Witnesses"]


@dataclass(frozen=True)
class Neighbour:
    """Another user whose behaviour is told, as prompts see them.

    Attributes:
        user_id: Who (never told to the language model by the shipped prompts).
        behaviour: The retrieved document.
        verdict: "liked", "disliked", or "" where the item was not judged by then.
        similarity: How alike the two users are: CAR's cosine.
        alike: The same as a fact: a word and a level.
        similar_liked: Liked items most like the item in question, most similar first.
        similar_disliked: Disliked items most like it.
        shared: Items that both users liked, the neighbour's most recent first.
        reranker_score: SARE's logit; None where nothing was reranked.
        in_common: What the two users share, in plain words; for people, not for prompts.
    """

    user_id: str
    behaviour: str
    verdict: str
    similarity: float
    alike: Fact
    similar_liked: tuple[Item, ...] = ()
    similar_disliked: tuple[Item, ...] = ()
    shared: tuple[Item, ...] = ()
    reranker_score: float | None = None
    in_common: tuple[str, ...] = ()


class ItemSimilarity:
    """Likeness of two items by what the catalogue says of them: shared facts, rare ones counting more (cosine of idf vectors)."""

    def __init__(self, catalogue: Mapping[str, Item]) -> None:
        self._catalogue = catalogue
        facts = {item_id: _facts(item) for item_id, item in catalogue.items()}
        count = Counter(fact for found in facts.values() for fact in found)
        self._rarest = math.log(1 + len(facts))
        self._weight = {fact: math.log((1 + len(facts)) / times) for fact, times in count.items()}
        self._vectors: dict[str, dict[tuple[str, str], float]] = {}
        self._norms: dict[str, float] = {}
        self._items_of: dict[tuple[str, str], list[str]] = {}
        for item_id, found in facts.items():
            self._learn(item_id, found)

    def _learn(self, item_id: str, facts: Collection[tuple[str, str]]) -> dict[tuple[str, str], float]:
        vector = {fact: self._weight.get(fact, self._rarest) for fact in facts}
        self._norms[item_id] = math.sqrt(sum(w * w for w in vector.values())) or 1.0
        self._vectors[item_id] = vector
        return vector

    def _vector(self, item_id: str) -> dict[tuple[str, str], float]:
        """An item that came into the catalogue later is learnt when it is first asked about; what is common stays as it was counted."""
        found = self._vectors.get(item_id)
        return self._learn(item_id, _facts(self._catalogue[item_id])) if found is None else found

    def put(self, item_id: str) -> None:
        """An item is new, or is told otherwise."""
        for fact in self._learn(item_id, _facts(self._catalogue[item_id])):
            if self._items_of and item_id not in (items := self._items_of.setdefault(fact, [])):
                items.append(item_id)

    def __call__(self, one: str, other: str) -> float:
        """Cosine in 0..1; 0 where nothing is shared."""
        a, b = self._vector(one), self._vector(other)
        if len(b) < len(a):
            a, b = b, a
        return sum(w * w for fact, w in a.items() if fact in b) / (self._norms[one] * self._norms[other])

    def nearest(self, item_id: str, among: Container[str], k: int) -> list[str]:
        """The `k` items most like one, most alike first; only such as share something with it."""
        weights: dict[str, float] = {}
        for fact, weight in self._vector(item_id).items():
            for other in self._having(fact):
                weights[other] = weights.get(other, 0.0) + weight * weight
        norms, own = self._norms, self._norms[item_id]
        scores = [(weights[other] / (own * norms[other]), other) for other in weights if other != item_id and other in among]
        return [other for _, other in sorted((pair for pair in scores if pair[0] > 0), key=lambda pair: (-pair[0], pair[1]))[:k]]

    def _having(self, fact: tuple[str, str]) -> list[str]:
        if not self._items_of:
            items_of: dict[tuple[str, str], list[str]] = {}
            for item_id, vector in list(self._vectors.items()):
                for known in vector:
                    items_of.setdefault(known, []).append(item_id)
            self._items_of = items_of
        return self._items_of.get(fact, [])


def _facts(item: Item) -> set[tuple[str, str]]:
    facts = {("genre", word) for word in item.genres} | {("creator", word) for word in item.creators}
    facts |= {("keyword", word) for word in item.keywords}
    return facts | ({("decade", item.decade)} if item.decade else set())


class Witnesses:
    """Turns retrieved users into what they say about an item.

    Args:
        log: Events that may be told (training events).
        catalogue: Items by id.
        levels: Percentiles, for how alike two users are.
        similar: How many similar items to name, of each verdict.
        shared: How many items liked in common to name.
    """

    def __init__(
        self, log: UserLog, catalogue: Mapping[str, Item], levels: Levels | None = None, *, similar: int = 1, shared: int = 5
    ) -> None:
        self.log = log
        self.catalogue = catalogue
        self.levels = levels or Levels({})
        self.similar = similar
        self.shared = shared
        self.similarity = ItemSimilarity(catalogue)

    def view(
        self, hit: Hit, *, item_id: str, as_of: int | None, history: Sequence[Event], score: float | None = None, whole: bool = True
    ) -> Neighbour:
        """One retrieved user's view of `item_id`, from events strictly before `as_of` (all of them where it is None).

        Args:
            score: The reranker's; None where nothing was reranked.
            whole: Whether similar and shared items are looked up, which takes most of the time.
        """
        verdict = self.log.verdict(hit.user_id, item_id, as_of)
        told = "" if verdict is None else "liked" if verdict else "disliked"
        alike = self.levels.fact("alike_user", hit.score)
        found = Neighbour(hit.user_id, hit.text, told, hit.score, alike, reranker_score=score)
        return self.complete(found, item_id=item_id, as_of=as_of, history=history) if whole else found

    def complete(self, other: Neighbour, *, item_id: str, as_of: int | None, history: Sequence[Event]) -> Neighbour:
        """A neighbour with similar and shared items; the rest as it is."""
        verdicts = {event.item_id: event.liked for event in self.log.before(other.user_id, as_of)}
        verdicts.pop(item_id, None)
        nearest = sorted(((self.similarity(item_id, one), one) for one in verdicts), key=lambda pair: (-pair[0], pair[1]))
        # Of several judgements of one item the last counts.
        mine = {item for item, liked in {event.item_id: event.liked for event in history}.items() if liked}
        return replace(
            other,
            similar_liked=tuple(self.catalogue[one] for score, one in nearest if score > 0 and verdicts[one])[: self.similar],
            similar_disliked=tuple(self.catalogue[one] for score, one in nearest if score > 0 and not verdicts[one])[: self.similar],
            shared=tuple(self.catalogue[one] for one in reversed(verdicts) if verdicts[one] and one in mine)[: self.shared],
        )
