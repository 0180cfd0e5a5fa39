"""What users did, one event at a time: the event, the item as prompts see it, and a log that never tells the future."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from score_rag.data.choices import Ties

__all__ = ["Event", "Item", "UserLog"]


class Event(NamedTuple):
    """One judgement: a user, an item, whether it was liked, and when (seconds since 1970, UTC).

    `row` is its number in the table (-1: in none); `sampled` marks a sampled negative.
    """

    user_id: str
    item_id: str
    liked: bool
    timestamp: int
    row: int = -1
    sampled: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """One row of the catalogue, as prompts see it.

    `name` is the title with its year, as people write it: `Heat (1995)`.
    """

    item_id: str
    title: str
    year: int | None = None
    genres: tuple[str, ...] = ()
    creators: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.title if self.year is None else f"{self.title} ({self.year})"

    @property
    def decade(self) -> str:
        """`1990s`, or an empty text where the year is unknown."""
        return "" if self.year is None else f"{self.year // 10 * 10}s"


class UserLog:
    """Events by user, in time order, with strict look-ups: nothing at or after the asked time ever comes back.

    Args:
        events: Judgements; sampled negatives are none, and are left out.
        ties: For `earlier`: whether a user's own event of the same second, but an earlier row, counts as earlier (`file-order`).
    """

    def __init__(self, events: Iterable[Event], *, ties: Ties = "strict") -> None:
        self.ties = ties
        self._events: dict[str, list[Event]] = {}
        for event in events:
            if not event.sampled:
                self._events.setdefault(event.user_id, []).append(event)
        for rows in self._events.values():
            rows.sort(key=lambda event: event.timestamp)
        self._verdicts: dict[str, tuple[list[Event], dict[str, list[Event]]]] = {}
        self._times = {user: [event.timestamp for event in rows] for user, rows in self._events.items()}

    def put(self, event: Event) -> Event | None:
        """Take one more judgement in; one of the same user, item and second is replaced, and comes back.

        Lists are replaced, never changed: a thread that reads meanwhile sees the state before or after.

        >>> log = UserLog([Event("u", "a", True, 5), Event("u", "b", False, 7)])
        >>> log.put(Event("u", "c", True, 6)), log.put(Event("u", "b", True, 7)).liked
        (None, False)
        >>> [(event.item_id, event.liked) for event in log.of("u")]
        [('a', True), ('c', True), ('b', True)]
        """
        old = self.drop(event)
        rows = self._events.get(event.user_id, [])
        place = bisect_right(rows, event.timestamp, key=lambda known: known.timestamp)
        self._set(event.user_id, [*rows[:place], event, *rows[place:]])
        return old

    def drop(self, event: Event) -> Event | None:
        """Forget the judgement of that user, item and second, which comes back; None where there is none."""
        rows = self._events.get(event.user_id, [])
        old = next((known for known in rows if known.item_id == event.item_id and known.timestamp == event.timestamp), None)
        if old is not None:
            self._set(event.user_id, [known for known in rows if known is not old])
        return old

    def _set(self, user_id: str, rows: list[Event]) -> None:
        if not rows:
            self._events.pop(user_id, None)
            self._times.pop(user_id, None)
            self._verdicts.pop(user_id, None)
            return
        times = [event.timestamp for event in rows]
        self._events[user_id] = rows
        self._times[user_id] = times

    def __contains__(self, user_id: object) -> bool:
        return user_id in self._events

    def __len__(self) -> int:
        return len(self._events)

    @property
    def users(self) -> list[str]:
        """User ids, in order of their first event in the source."""
        return list(self._events)

    def of(self, user_id: str) -> Sequence[Event]:
        """All events of a user, oldest first; empty for an unknown user."""
        return self._events.get(user_id, [])

    def before(self, user_id: str, timestamp: int | None, *, last: int | None = None, liked_only: bool = False) -> list[Event]:
        """Events of a user strictly earlier than `timestamp` (all of them where it is None), oldest first.

        Args:
            last: Keep only the most recent so many (counted after `liked_only`).
            liked_only: Keep only liked events (`history: positives`).

        >>> log = UserLog([Event("u", "a", True, 5), Event("u", "b", False, 7), Event("u", "c", True, 7)])
        >>> [event.item_id for event in log.before("u", 7)]
        ['a']
        """
        rows = self._events.get(user_id, [])
        end = len(rows) if timestamp is None else self._end(user_id, rows, timestamp)
        found = [event for event in rows[:end] if event.liked] if liked_only else rows[:end]
        return found[-last:] if last else (found if last is None else [])

    def _end(self, user_id: str, rows: list[Event], timestamp: int) -> int:
        times = self._times.get(user_id, [])
        # While another thread puts an event in, the times may be of other rows.
        return bisect_left(times, timestamp) if len(times) == len(rows) else bisect_left(rows, timestamp, key=lambda known: known.timestamp)

    def earlier(self, event: Event, *, last: int | None = None, liked_only: bool = False) -> list[Event]:
        """The history behind an event: what its user had judged before it, by the policy of ties; oldest first.

        >>> rows = [Event("u", "a", True, 5, 0), Event("u", "b", False, 7, 1), Event("u", "c", True, 7, 2)]
        >>> [len(UserLog(rows, ties=ties).earlier(rows[2])) for ties in ("strict", "file-order")]
        [1, 2]
        """
        if self.ties == "strict" or event.row < 0:
            return self.before(event.user_id, event.timestamp, last=last, liked_only=liked_only)
        same = self.before(event.user_id, event.timestamp + 1, liked_only=liked_only)
        found = [known for known in same if known.timestamp < event.timestamp or known.row < event.row]
        return found[-last:] if last else (found if last is None else [])

    def verdict(self, user_id: str, item_id: str, timestamp: int | None) -> bool | None:
        """Whether the user had liked the item, by the last judgement strictly before `timestamp`; None if not judged by then."""
        rows = self._events.get(user_id)
        if rows is None:
            return None
        known = self._verdicts.get(user_id)
        # Of the very list: another thread may have put an event in meanwhile.
        if known is None or known[0] is not rows:
            own: dict[str, list[Event]] = {}
            for event in rows:
                own.setdefault(event.item_id, []).append(event)
            known = self._verdicts[user_id] = (rows, own)
        for event in reversed(known[1].get(item_id, ())):
            if timestamp is None or event.timestamp < timestamp:
                return event.liked
        return None

    def first(self, user_id: str, item_id: str) -> Event | None:
        """The user's first judgement of the item, or None."""
        return next((event for event in self._events.get(user_id, []) if event.item_id == item_id), None)
