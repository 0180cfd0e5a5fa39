"""Like-rates as they were known at a moment."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

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
        self._all: tuple[list[int], list[int]] = ([], [0])
        for event in event_rows(interactions.learned):
            if event.sampled:
                continue
            for known, likes in (self._known.setdefault(event.item_id, ([], [0])), self._all):
                known.append(event.timestamp)
                likes.append(likes[-1] + event.liked)

    def put(self, event: Event) -> None:
        """Count one more judgement."""
        self._change(event, insert=True)

    def drop(self, event: Event) -> None:
        """Count a judgement no more."""
        self._change(event, insert=False)

    def _change(self, event: Event, *, insert: bool) -> None:
        self._known[event.item_id] = _changed(*self._known.get(event.item_id, _NONE), event, insert)
        if insert and (not self._all[0] or event.timestamp >= self._all[0][-1]):
            # The usual case, and the only list that is as long as the data: in place.
            self._all[1].append(self._all[1][-1] + event.liked)
            self._all[0].append(event.timestamp)
        else:
            self._all = _changed(*self._all, event, insert)

    def counts(self, item_id: str, as_of: int | None) -> tuple[int, int]:
        """(likes, judgements) of an item before `as_of`; of all training judgements where it is None."""
        return _before(*self._known.get(item_id, _NONE), as_of)

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


def _changed(times: list[int], likes: list[int], event: Event, insert: bool) -> tuple[list[int], list[int]]:
    """Times and running likes with one judgement more, or one less.

    >>> one = Event("u", "a", True, 6)
    >>> _changed([5, 7], [0, 1, 1], one, True)
    ([5, 6, 7], [0, 1, 2, 2])
    >>> _changed([5, 6, 7], [0, 1, 2, 2], one, False)
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
