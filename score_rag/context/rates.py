"""Like-rates as they were known at a moment."""

from __future__ import annotations

from bisect import bisect_left

from score_rag.data.interactions import Interactions, event_rows

__all__ = ["ItemRates"]

_COUNTS = 5.0
"""Judgements of the mean that each like-rate is smoothed by."""


class ItemRates:
    """Like-rates of items at a moment, from training judgements strictly before it.

    Args:
        interactions: Their training events count (background among them), sampled negatives do not.
    """

    def __init__(self, interactions: Interactions) -> None:
        self._times: dict[str, list[int]] = {}
        self._liked: dict[str, list[int]] = {}
        self._all: tuple[list[int], list[int]] = ([], [0])
        for event in event_rows(interactions.learned):
            if event.sampled:
                continue
            times, liked = self._times.setdefault(event.item_id, []), self._liked.setdefault(event.item_id, [0])
            for known, likes in ((times, liked), self._all):
                known.append(event.timestamp)
                likes.append(likes[-1] + event.liked)

    def counts(self, item_id: str, as_of: int | None) -> tuple[int, int]:
        """(likes, judgements) of an item before `as_of`; of all training judgements where it is None."""
        return _before(self._times.get(item_id, []), self._liked.get(item_id, [0]), as_of)

    def mean(self, as_of: int | None) -> float:
        """Share of likes among all training judgements before `as_of`, with one of each added."""
        liked, judged = _before(*self._all, as_of)
        return (liked + 1) / (judged + 2)

    def smoothed(self, liked: float, judged: float, as_of: int | None) -> float:
        """A like-rate pulled towards the mean by five judgements."""
        return (liked + _COUNTS * self.mean(as_of)) / (judged + _COUNTS)

    def rate(self, item_id: str, as_of: int | None) -> float:
        """The smoothed like-rate; the mean where nobody judged the item by then."""
        return self.smoothed(*self.counts(item_id, as_of), as_of)


def _before(times: list[int], likes: list[int], as_of: int | None) -> tuple[int, int]:
    judged = len(times) if as_of is None else bisect_left(times, as_of)
    return likes[judged], judged
