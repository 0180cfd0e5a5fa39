"""Like-rates as they were known at a moment."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

import numpy as np

from score_rag.data.interactions import Interactions, event_rows
from score_rag.data.log import Event

__all__ = ["ItemRates"]

_COUNTS = 5.0
"""Judgements of the mean that each like-rate is smoothed by."""
_NONE: tuple[list[int], list[int]] = ([], [0])


class ItemRates:
    """Like-rates of items at a moment, from training judgements strictly before it.

    Args:
        interactions: Their training events count (background among them), sampled negatives do not.
    """

    def __init__(self, interactions: Interactions) -> None:
        # Of each item the times of its judgements, and how many were likes up to each; replaced together, for others read meanwhile.
        self._known: dict[str, tuple[list[int], list[int]]] = {}
        times: list[int] = []
        likes = [0]
        for event in event_rows(interactions.learned):
            if event.sampled:
                continue
            known, liked = self._known.setdefault(event.item_id, ([], [0]))
            for one, sums in ((known, liked), (times, likes)):
                one.append(event.timestamp)
                sums.append(sums[-1] + event.liked)
        # Of all items; as long as the data, and never changed: what comes in is counted beside it.
        self._times, self._likes = np.array(times, dtype=np.int64), np.array(likes, dtype=np.int64)
        self._later: tuple[list[int], list[int], list[int]] = ([], [0], [0])

    def put(self, event: Event) -> None:
        """Count one more judgement."""
        self._known[event.item_id] = _changed(*self._known.get(event.item_id, _NONE), event, insert=True)
        self._count(event.timestamp, int(event.liked), 1)

    def drop(self, event: Event) -> None:
        """Count a judgement no more; nothing where it is not counted."""
        known = self._known.get(event.item_id, _NONE)
        left = _changed(*known, event, insert=False)
        if len(left[0]) < len(known[0]):
            self._known[event.item_id] = left
            self._count(event.timestamp, -int(event.liked), -1)

    def _count(self, when: int, liked: int, judged: int) -> None:
        times, likes, counts = self._later
        if not times or when >= times[-1]:
            # The usual case: in place. Who reads meanwhile goes by the times, which come last.
            likes.append(likes[-1] + liked)
            counts.append(counts[-1] + judged)
            times.append(when)
            return
        place = bisect_right(times, when)
        rows = [[*row[: place + 1], *(known + more for known in row[place:])] for row, more in ((likes, liked), (counts, judged))]
        self._later = [*times[:place], when, *times[place:]], rows[0], rows[1]

    def counts(self, item_id: str, as_of: int | None) -> tuple[int, int]:
        """(likes, judgements) of an item before `as_of`; of all training judgements where it is None."""
        return _before(*self._known.get(item_id, _NONE), as_of)

    def mean(self, as_of: int | None) -> float:
        """Share of likes among all training judgements before `as_of`, with one of each added."""
        end = len(self._times) if as_of is None else int(self._times.searchsorted(as_of))
        times, likes, counts = self._later
        later = len(times) if as_of is None else bisect_left(times, as_of)
        liked, judged = int(self._likes[end]) + likes[later], end + counts[later]
        return (liked + 1) / (judged + 2)

    def smoothed(self, liked: float, judged: float, as_of: int | None) -> float:
        """A like-rate pulled towards the mean by five judgements."""
        return (liked + _COUNTS * self.mean(as_of)) / (judged + _COUNTS)

    def rate(self, item_id: str, as_of: int | None) -> float:
        """The smoothed like-rate; the mean where nobody judged the item by then."""
        return self.smoothed(*self.counts(item_id, as_of), as_of)


def _changed(times: list[int], likes: list[int], event: Event, *, insert: bool) -> tuple[list[int], list[int]]:
    """Times and running likes with one judgement more, or one less.

    >>> one = Event("u", "a", True, 6)
    >>> _changed([5, 7], [0, 1, 1], one, insert=True)
    ([5, 6, 7], [0, 1, 2, 2])
    >>> _changed([5, 6, 7], [0, 1, 2, 2], one, insert=False)
    ([5, 7], [0, 1, 1])
    """
    if insert:
        place = bisect_right(times, event.timestamp)
        later = [known + event.liked for known in likes[place:]]
        return [*times[:place], event.timestamp, *times[place:]], [*likes[: place + 1], *later]
    first, end = bisect_left(times, event.timestamp), bisect_right(times, event.timestamp)
    found = [place for place in range(first, end) if likes[place + 1] - likes[place] == event.liked]
    if not found:
        return times, likes
    place = found[0]
    return [*times[:place], *times[place + 1 :]], [*likes[: place + 1], *(known - event.liked for known in likes[place + 2 :])]


def _before(times: list[int], likes: list[int], as_of: int | None) -> tuple[int, int]:
    judged = len(times) if as_of is None else bisect_left(times, as_of)
    return likes[judged], judged
