"""Like-rates as they were known at a moment."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from score_rag.data.by_item import ItemColumns
from score_rag.data.interactions import Interactions
from score_rag.data.log import Event

__all__ = ["ItemRates"]

_COUNTS = 5.0
"""Judgements of the mean that each like-rate is smoothed by."""


class ItemRates:
    """Like-rates of items at a moment, from training judgements strictly before it.

    Args:
        interactions: Their training events count (background among them), sampled negatives do not.
    """

    def __init__(self, interactions: Interactions) -> None:
        self._built = interactions.by_item
        # Of each item that changed: the times of its judgements, and how many were likes up to each; replaced together, for others read
        # meanwhile.
        self._known: dict[str, tuple[list[int], list[int]]] = {}
        self._all = _Changes(self._built)

    def put(self, event: Event) -> None:
        """Count one more judgement."""
        self._known[event.item_id] = _changed(*self._own(event.item_id), event, insert=True)
        self._all.change(event, 1)

    def drop(self, event: Event) -> None:
        """Count a judgement no more; nothing where it is not counted."""
        known = self._own(event.item_id)
        left = _changed(*known, event, insert=False)
        if len(left[0]) < len(known[0]):
            self._known[event.item_id] = left
            self._all.change(event, -1)

    def _own(self, item_id: str) -> tuple[list[int], list[int]]:
        """An item's times and running likes."""
        if item_id in self._known:
            return self._known[item_id]
        start, end = self._built.before(item_id, None)
        return self._built.time[start:end].tolist(), [likes - self._built.likes[start] for likes in self._built.likes[start : end + 1]]

    def counts(self, item_id: str, as_of: int | None) -> tuple[int, int]:
        """(likes, judgements) of an item before `as_of`; of all training judgements where it is None."""
        known = self._known.get(item_id)
        if known is not None:
            return _before(*known, as_of)
        start, end = self._built.before(item_id, as_of)
        return self._built.likes[end] - self._built.likes[start], end - start

    def mean(self, as_of: int | None) -> float:
        """Share of likes among all training judgements before `as_of`, with one of each added."""
        liked, judged = self._all.before(as_of)
        return (liked + 1) / (judged + 2)

    def smoothed(self, liked: float, judged: float, as_of: int | None) -> float:
        """A like-rate pulled towards the mean by five judgements."""
        return (liked + _COUNTS * self.mean(as_of)) / (judged + _COUNTS)

    def rate(self, item_id: str, as_of: int | None) -> float:
        """The smoothed like-rate; the mean where nobody judged the item by then."""
        return self.smoothed(*self.counts(item_id, as_of), as_of)


class _Changes:
    """(Likes, judgements) of all items before a moment, where judgements come and go."""

    def __init__(self, built: ItemColumns) -> None:
        self._built = built
        # What came and went: times, and by how much likes and judgements had grown up to each.
        self._later: tuple[list[int], list[tuple[int, int]]] = ([], [(0, 0)])

    def before(self, as_of: int | None) -> tuple[int, int]:
        liked, judged = self._built.count(as_of)
        times, grown = self._later
        more = grown[len(times) if as_of is None else bisect_left(times, as_of)]
        return liked + more[0], judged + more[1]

    def change(self, event: Event, by: int) -> None:
        """Count one more of that second and answer, or one less of those that are counted."""
        times, grown = self._later
        place = bisect_right(times, event.timestamp)
        step = (by * event.liked, by)
        if place == len(times):
            # The usual case, and lists as long as the feedback: in place, the sums first.
            grown.append((grown[-1][0] + step[0], grown[-1][1] + step[1]))
            times.append(event.timestamp)
            return
        later = [(one[0] + step[0], one[1] + step[1]) for one in grown[place:]]
        self._later = [*times[:place], event.timestamp, *times[place:]], [*grown[: place + 1], *later]


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
