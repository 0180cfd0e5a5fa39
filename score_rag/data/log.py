"""What users did, one event at a time: a log that never tells the future."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import repeat
from threading import Lock

import numpy as np
import polars as pl

from score_rag.data.choices import Ties
from score_rag.data.columns import EventColumns
from score_rag.data.event import Event, Item
from score_rag.data.ids import Ids

__all__ = ["Event", "Item", "UserLog"]

_KEPT = 1_000_000
"""So many judgements are kept as objects (.2 GB), of the users who were read last."""


class UserLog:
    """Judgements by user, in time order, with strict look-ups: nothing at or after the asked time ever comes back.

    They are kept as columns; an `Event` is made when its user is asked about. What is put in or dropped later is kept by user, beside them.

    Args:
        events: Judgements; sampled negatives are none, and are left out.
        ties: For `earlier`: whether a user's own event of the same second, but an earlier row, counts as earlier (`file-order`).
    """

    def __init__(self, events: Iterable[Event] | EventColumns, *, ties: Ties = "strict") -> None:
        self.ties = ties
        self._built = (
            events if isinstance(events, EventColumns) else EventColumns.of(_frame(event for event in events if not event.sampled))
        )
        self._there = self._built.ends > self._built.starts
        self._objects = _Objects(self._built)
        # What was put in or dropped: users' judgements, whole; those who had none left; those who came (again) after all others.
        self._changed: dict[str, _Judged] = {}
        self._gone: set[str] = set()
        self._late: dict[str, None] = {}

    @property
    def columns(self) -> EventColumns:
        """All judgements as columns, for whoever asks about many; what was put in or dropped is in them."""
        return _merged(self._built, self.users, dict(self._changed)) if self._changed else self._built

    def count_earlier(self, events: pl.DataFrame) -> np.ndarray:
        """int64 [n]: how many judgements `earlier` gives for each row of an events frame."""
        columns = self.columns
        users, (times, rows) = columns.users.numbers(events["user_id"]), (events[name].to_numpy() for name in ("timestamp", "event"))
        return columns.count_earlier(users, times, rows, ties=self.ties)

    def put(self, event: Event) -> Event | None:
        """Take one more judgement in; one of the same user, item and second is replaced, and comes back.

        Lists are replaced, never changed: a thread that reads meanwhile sees the state before or after.

        >>> log = UserLog([Event("u", "a", True, 5), Event("u", "b", False, 7)])
        >>> log.put(Event("u", "c", True, 6)), log.put(Event("u", "b", True, 7)).liked
        (None, False)
        >>> [(event.item_id, event.liked) for event in log.of("u")]
        [('a', True), ('c', True), ('b', True)]
        """
        old, rest = self._without(event)
        if not rest:
            # Somebody new, or new again: behind all others.
            self._leave(event.user_id)
            self._late[event.user_id] = None
        place = bisect_right(rest, event.timestamp, key=lambda known: known.timestamp)
        self._changed[event.user_id] = _Judged([*rest[:place], event, *rest[place:]])
        return old

    def drop(self, event: Event) -> Event | None:
        """Forget the judgement of that user, item and second, which comes back; None where there is none."""
        old, rest = self._without(event)
        if old is not None:
            if not rest:
                self._leave(event.user_id)
            self._changed[event.user_id] = _Judged(list(rest))
        return old

    def _without(self, event: Event) -> tuple[Event | None, Sequence[Event]]:
        """(The judgement of that user, item and second, the user's others)."""
        rows = self.of(event.user_id)
        old = next((known for known in rows if known.item_id == event.item_id and known.timestamp == event.timestamp), None)
        return old, rows if old is None else [known for known in rows if known is not old]

    def _leave(self, user_id: str) -> None:
        if self._is_built(user_id):
            self._gone.add(user_id)
        self._late.pop(user_id, None)

    def _is_built(self, user_id: object) -> bool:
        number = self._built.users.find(user_id)
        return number >= 0 and bool(self._there[number])

    def _of(self, user_id: str) -> _Judged:
        changed = self._changed.get(user_id)
        return self._objects.of(user_id) if changed is None else changed

    def __contains__(self, user_id: object) -> bool:
        changed = self._changed.get(user_id)  # type: ignore[call-overload]  # whatever may be a key
        return self._is_built(user_id) if changed is None else bool(changed.events)

    def __len__(self) -> int:
        return int(self._there.sum()) - len(self._gone) + len(self._late)

    @property
    def users(self) -> list[str]:
        """User ids, in order of their first event in the source."""
        names: list[str] = self._built.users.names.filter(pl.Series(self._there)).to_list()
        if not self._changed:
            return names
        late, gone = list(self._late), self._gone
        return [name for name in names if name not in gone] + late

    def of(self, user_id: str) -> Sequence[Event]:
        """All events of a user, oldest first; empty for an unknown user."""
        return self._of(user_id).events

    def before(self, user_id: str, timestamp: int | None, *, last: int | None = None, liked_only: bool = False) -> list[Event]:
        """Events of a user strictly earlier than `timestamp` (all of them where it is None), oldest first.

        Args:
            last: Keep only the most recent so many (counted after `liked_only`).
            liked_only: Keep only liked events (`history: positives`).

        >>> log = UserLog([Event("u", "a", True, 5), Event("u", "b", False, 7), Event("u", "c", True, 7)])
        >>> [event.item_id for event in log.before("u", 7)]
        ['a']
        """
        known = self._of(user_id)
        rows = known.events[: known.end(timestamp)]
        found = [event for event in rows if event.liked] if liked_only else rows
        return found[-last:] if last else (found if last is None else [])

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
        for event in reversed(self._of(user_id).on(item_id)):
            if timestamp is None or event.timestamp < timestamp:
                return event.liked
        return None

    def holds(self, user_id: str, item_id: str, timestamp: int) -> bool:
        """Whether the user judged the item in this second."""
        return any(event.timestamp == timestamp for event in self._of(user_id).on(item_id))

    def first(self, user_id: str, item_id: str) -> Event | None:
        """The user's first judgement of the item, or None."""
        return next(iter(self._of(user_id).on(item_id)), None)


class _Judged:
    """One user's judgements as objects, oldest first; never changed, only replaced."""

    __slots__ = ("_own", "_times", "events")

    def __init__(self, events: list[Event], times: list[int] | None = None) -> None:
        self.events = events
        self._times = [event.timestamp for event in events] if times is None else times
        self._own: dict[str, list[Event]] | None = None

    def end(self, timestamp: int | None) -> int:
        """How many were strictly before a second."""
        return len(self.events) if timestamp is None else bisect_left(self._times, timestamp)

    def on(self, item_id: str) -> Sequence[Event]:
        """Those of an item."""
        own = self._own
        if own is None:
            own = {}
            for event in self.events:
                own.setdefault(event.item_id, []).append(event)
            # Complete before another thread can see it.
            self._own = own
        return own.get(item_id, ())


_NOBODY = _Judged([])


class _Objects:
    """Users' judgements as objects, made when they are asked about; those that were made last are kept."""

    def __init__(self, columns: EventColumns) -> None:
        self.columns = columns
        self._kept: dict[str, _Judged] = {}
        self._count = 0
        self._lock = Lock()

    def of(self, user_id: str) -> _Judged:
        found = self._kept.get(user_id)
        return self._make(user_id) if found is None else found

    def _make(self, user_id: str) -> _Judged:
        columns, number = self.columns, self.columns.users.find(user_id)
        if number < 0:
            return _NOBODY
        part = slice(columns.starts[number], columns.ends[number])
        items = map(columns.items.__getitem__, columns.item[part].tolist())
        times = columns.time[part].tolist()
        cells = zip(repeat(user_id), items, columns.liked[part].tolist(), times, columns.row[part].tolist(), repeat(False), strict=False)
        # What `Event(...)` does, without its Python function.
        made = _Judged(list(map(partial(tuple.__new__, Event), cells)), times)
        with self._lock:
            self._count += len(times) - len(self._kept.pop(user_id, _NOBODY).events)
            self._kept[user_id] = made
            while self._count > _KEPT and len(self._kept) > 1:
                self._count -= len(self._kept.pop(next(iter(self._kept))).events)
        return made


def _frame(events: Iterable[Event]) -> pl.DataFrame:
    """Judgements as an events frame, in their order."""
    names = {"user_id": pl.String(), "item_id": pl.String(), "label": pl.Int8(), "timestamp": pl.Int64(), "event": pl.Int64()}
    rows = [(*event[:2], int(event.liked), *event[3:5]) for event in events]
    return pl.DataFrame(rows, schema=names, orient="row").with_columns(sampled=pl.lit(False))


def _merged(built: EventColumns, users: list[str], changed: dict[str, _Judged]) -> EventColumns:
    """Columns with the judgements of some users behind the others; what is replaced stays, and is nobody's."""
    theirs = [one.events for one in changed.values()]
    added = EventColumns.of(_frame(event for events in theirs for event in events))
    place = {name: number for number, name in enumerate(dict.fromkeys([*built.items, *added.items]))}
    own = np.array([place[name] for name in added.items], dtype=np.int32)
    bounds = np.zeros((2, len(users)), dtype=np.int64)
    for number, name in enumerate(users):
        source, shift = (added, len(built.item)) if name in changed else (built, 0)
        if (known := source.users.find(name)) >= 0:
            bounds[:, number] = source.starts[known] + shift, source.ends[known] + shift
    columns = [(built.item, own[added.item]), *((getattr(built, name), getattr(added, name)) for name in ("time", "liked", "row"))]
    return EventColumns(Ids(pl.Series(users, dtype=pl.String())), list(place), *bounds, *(np.concatenate(pair) for pair in columns))
