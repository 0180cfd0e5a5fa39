"""What another user's behaviour says about the item in question: the view of a neighbour that a prompt shows.

Everything is read from training events strictly before the question's time: a neighbour's verdict on the very item may be told only
if it was already given.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from score_rag.data.log import Event, Item, UserLog

__all__ = ["Crowd", "ItemSimilarity", "OtherUser", "Witnesses"]


@dataclass(frozen=True)
class OtherUser:
    """One neighbour, as `predict.md` sees them.

    Attributes:
        user_id: Who (never told to the language model by the shipped prompts).
        behaviour: The retrieved document.
        verdict: "liked", "disliked", or "" where the item was not judged by then.
        similar_liked: Liked items most like the item in question, most similar first.
        similar_disliked: Disliked items most like it.
        shared: Items that both users liked, the neighbour's most recent first.
    """

    user_id: str
    behaviour: str
    verdict: str
    similar_liked: tuple[Item, ...]
    similar_disliked: tuple[Item, ...]
    shared: tuple[Item, ...]


_VERDICTS = ((0.3, "panned"), (0.45, "doubted"), (0.55, "disputed"), (0.7, "welcomed"), (1.0, "praised"))


@dataclass(frozen=True)
class Crowd:
    """What all retrieved users, not only the reranked few, did with the item in question.

    Attributes:
        asked: How many users were retrieved.
        liked: How many of them had liked the item by then.
        disliked: How many had disliked it.
    """

    asked: int
    liked: int
    disliked: int

    @property
    def verdict(self) -> str:
        """The counts in words, by the share of likes with one of each added: small models read a word better than two numbers.

        >>> [Crowd(30, 0, 0).verdict, Crowd(30, 1, 0).verdict, Crowd(30, 4, 0).verdict, Crowd(30, 2, 5).verdict]
        ['unseen', 'welcomed', 'praised', 'doubted']
        """
        if not self.liked + self.disliked:
            return "unseen"
        share = (self.liked + 1) / (self.liked + self.disliked + 2)
        return next(word for most, word in _VERDICTS if share <= most)


class ItemSimilarity:
    """Likeness of two items by what the catalogue says of them: shared facts, rare ones counting more (cosine of idf vectors)."""

    def __init__(self, catalogue: Mapping[str, Item]) -> None:
        facts = {item_id: _facts(item) for item_id, item in catalogue.items()}
        count = Counter(fact for found in facts.values() for fact in found)
        weight = {fact: math.log((1 + len(facts)) / times) for fact, times in count.items()}
        self._vectors = {item_id: {fact: weight[fact] for fact in found} for item_id, found in facts.items()}
        self._norms = {item_id: math.sqrt(sum(w * w for w in vector.values())) or 1.0 for item_id, vector in self._vectors.items()}

    def __call__(self, one: str, other: str) -> float:
        """Cosine in 0..1; 0 where nothing is shared."""
        a, b = self._vectors[one], self._vectors[other]
        if len(b) < len(a):
            a, b = b, a
        return sum(w * w for fact, w in a.items() if fact in b) / (self._norms[one] * self._norms[other])


def _facts(item: Item) -> set[tuple[str, str]]:
    facts = {("genre", word) for word in item.genres} | {("creator", word) for word in item.creators}
    facts |= {("keyword", word) for word in item.keywords}
    return facts | ({("decade", item.decade)} if item.decade else set())


class Witnesses:
    """Turns retrieved users into what they say about an item.

    Args:
        log: Events that may be told (training events).
        catalogue: Items by id.
        similar: How many similar items to name, of each verdict.
        shared: How many items liked in common to name.
    """

    def __init__(self, log: UserLog, catalogue: Mapping[str, Item], *, similar: int = 1, shared: int = 5) -> None:
        self.log = log
        self.catalogue = catalogue
        self.similar = similar
        self.shared = shared
        self.similarity = ItemSimilarity(catalogue)

    def view(self, user_id: str, behaviour: str, *, item_id: str, as_of: int | None, history: Sequence[Event]) -> OtherUser:
        """One neighbour's view of `item_id`, from events strictly before `as_of` (all of them where it is None)."""
        verdicts = {event.item_id: event.liked for event in self.log.before(user_id, as_of)}
        verdict = verdicts.pop(item_id, None)
        nearest = sorted(((self.similarity(item_id, other), other) for other in verdicts), key=lambda pair: (-pair[0], pair[1]))
        mine = {event.item_id for event in history if event.liked}
        return OtherUser(
            user_id,
            behaviour,
            "" if verdict is None else "liked" if verdict else "disliked",
            tuple(self.catalogue[other] for score, other in nearest if score > 0 and verdicts[other])[: self.similar],
            tuple(self.catalogue[other] for score, other in nearest if score > 0 and not verdicts[other])[: self.similar],
            tuple(self.catalogue[other] for other in reversed(verdicts) if verdicts[other] and other in mine)[: self.shared],
        )

    def crowd(self, user_ids: Sequence[str], *, item_id: str, as_of: int | None) -> Crowd:
        """How the retrieved users had judged `item_id` by then."""
        verdicts = [self.log.verdict(user_id, item_id, as_of) for user_id in user_ids]
        return Crowd(len(user_ids), sum(v is True for v in verdicts), sum(v is False for v in verdicts))
