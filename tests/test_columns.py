"""Logs as columns: equal to a log of objects on whatever data, after whatever was put in and dropped, and never a word of the future."""

from __future__ import annotations

import pickle
import sys
import threading
from bisect import bisect_left, bisect_right

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from score_rag.data import columns, ids
from score_rag.data import log as kept_by
from score_rag.data.columns import EventColumns, grouped
from score_rag.data.interactions import EVENT_COLUMNS, LEARNED, SPLITS, Interactions, event_rows
from score_rag.data.log import Event, UserLog

USERS, ITEMS = ["u", "v", "wéi", ""], list("abcd")


class ObjectLog:
    """What `UserLog` promises, by a list of objects for each user."""

    def __init__(self, events, *, ties="strict"):
        self.ties, self.kept = ties, {}
        for event in events:
            if not event.sampled:
                self.kept.setdefault(event.user_id, []).append(event)
        for rows in self.kept.values():
            rows.sort(key=lambda event: event.timestamp)

    users = property(lambda self: list(self.kept))

    def of(self, user):
        return self.kept.get(user, [])

    def put(self, event):
        old = self.drop(event)
        rows = self.kept.get(event.user_id, [])
        place = bisect_right(rows, event.timestamp, key=lambda known: known.timestamp)
        self.kept[event.user_id] = [*rows[:place], event, *rows[place:]]
        return old

    def drop(self, event):
        rows = self.of(event.user_id)
        old = next((known for known in rows if known.item_id == event.item_id and known.timestamp == event.timestamp), None)
        if old is not None:
            self.kept[event.user_id] = [known for known in rows if known is not old]
            if not self.kept[event.user_id]:
                self.kept.pop(event.user_id)
        return old

    def before(self, user, timestamp, *, last=None, liked_only=False):
        rows = self.of(user)
        end = len(rows) if timestamp is None else bisect_left(rows, timestamp, key=lambda known: known.timestamp)
        found = [event for event in rows[:end] if event.liked or not liked_only]
        return found[-last:] if last else (found if last is None else [])

    def earlier(self, event, *, last=None, liked_only=False):
        if self.ties == "strict" or event.row < 0:
            return self.before(event.user_id, event.timestamp, last=last, liked_only=liked_only)
        same = self.before(event.user_id, event.timestamp + 1, liked_only=liked_only)
        found = [known for known in same if known.timestamp < event.timestamp or known.row < event.row]
        return found[-last:] if last else (found if last is None else [])

    def verdict(self, user, item, timestamp):
        own = [e.liked for e in self.of(user) if e.item_id == item and (timestamp is None or e.timestamp < timestamp)]
        return own[-1] if own else None

    def first(self, user, item):
        return next((event for event in self.of(user) if event.item_id == item), None)


def same(log: UserLog, expected: ObjectLog, asked: list[Event]) -> None:
    """Both answer alike, whatever they are asked."""
    assert log.users == expected.users and len(log) == len(expected.users)
    for user in [*USERS, "nobody"]:
        assert list(log.of(user)) == expected.of(user) and (user in log) == (user in expected.kept)
        assert all(
            type(value) is kind for event in log.of(user) for value, kind in zip(event, (str, str, bool, int, int, bool), strict=True)
        )
        for now in (None, *range(-1, 8)):
            for last, liked_only in ((None, False), (None, True), (0, False), (2, True)):
                found = log.before(user, now, last=last, liked_only=liked_only)
                assert found == expected.before(user, now, last=last, liked_only=liked_only)
                assert now is None or all(event.timestamp < now for event in found)
            assert all(log.verdict(user, item, now) == expected.verdict(user, item, now) for item in [*ITEMS, "none"])
        assert all(log.first(user, item) == expected.first(user, item) for item in ITEMS)
    for event in asked:
        for last, liked_only in ((None, False), (1, False), (2, True)):
            assert log.earlier(event, last=last, liked_only=liked_only) == expected.earlier(event, last=last, liked_only=liked_only)


def same_columns(log: UserLog, expected: ObjectLog, frame: pl.DataFrame) -> None:
    """The columns hold the same, and look up the same for many at once."""
    kept, asked = log.columns, list(event_rows(frame))
    assert kept.users.names.filter(pl.Series(kept.ends > kept.starts, dtype=pl.Boolean())).to_list() == expected.users
    assert log.count_earlier(frame).tolist() == [len(expected.earlier(event)) for event in asked]
    numbers = kept.users.numbers(frame["user_id"])
    starts, ends = kept.before(numbers, frame["timestamp"].to_numpy())
    for event, start, end in zip(asked, starts, ends, strict=True):
        part = slice(start, end)
        told = zip(kept.item[part], kept.liked[part], kept.time[part], kept.row[part], strict=True)
        found = [Event(event.user_id, kept.items[item], bool(liked), int(time), int(row)) for item, liked, time, row in told]
        assert found == expected.before(event.user_id, event.timestamp)


cells = st.tuples(
    st.sampled_from(USERS),
    st.sampled_from(ITEMS),
    st.booleans(),
    st.integers(0, 6),
    st.sampled_from(SPLITS),
    st.sampled_from([False] * 3 + [True]),
)
ties = st.sampled_from(["strict", "file-order"])
changes = st.lists(
    st.tuples(
        st.booleans(),
        st.builds(
            Event, st.sampled_from(USERS), st.sampled_from([*ITEMS, "e"]), st.booleans(), st.integers(0, 6), st.just(-1), st.just(False)
        ),
    ),
    max_size=14,
)


def world(rows, policy) -> Interactions:
    names = ("user_id", "item_id", "label", "timestamp", "split", "sampled")
    frame = pl.DataFrame(rows, schema={name: EVENT_COLUMNS[name] for name in names}, orient="row")
    items = pl.DataFrame({"item_id": ITEMS, "title": ITEMS})
    return Interactions(frame, items, ties=policy)


@given(st.lists(cells, max_size=24), ties, st.booleans())
def test_columns_answer_as_objects_do(rows, policy, by_time):
    if by_time:
        # As every split by time: what is trained on comes first.
        rows = [(*row[:4], SPLITS[min(3, row[3] // 2)], row[5]) for row in rows]
    made = world(rows, policy)
    every, learned = list(made.rows()), made.events.filter(pl.col("split").is_in(LEARNED))
    strangers = [event._replace(row=-1) for event in every]
    for log, events in ((made.log, every), (made.train_log, list(event_rows(learned)))):
        expected = ObjectLog(events, ties=policy)
        same(log, expected, [*every, *strangers])
        same_columns(log, expected, made.events)
        same_columns(log, expected, made.events.with_columns(event=pl.lit(-1, dtype=pl.Int64())))
    if by_time:
        assert made.train_log.columns.time is made.log.columns.time, "one set of arrays for both logs"


@given(st.lists(cells, max_size=12), ties, changes)
def test_what_is_put_in_and_dropped_is_known_and_forgotten_as_among_objects(rows, policy, steps):
    made = world(rows, policy)
    every = list(made.rows())
    log, train = made.log, made.train_log
    built = train.columns
    untouched = ObjectLog(event_rows(made.learned), ties=policy)
    expected = ObjectLog(every, ties=policy)
    for puts, event in steps:
        if puts:
            assert log.put(event) == expected.put(event)
        else:
            assert log.drop(event) == expected.drop(event)
        assert log.users == expected.users
    asked = [*every, *(event for _, event in steps)]
    same(log, expected, asked)
    same_columns(log, expected, made.events)
    same(train, untouched, asked)
    assert train.columns is built, "the other log of the same arrays knows nothing of it"


@given(
    st.lists(
        st.builds(
            Event, st.sampled_from(USERS), st.sampled_from(ITEMS), st.booleans(), st.integers(0, 6), st.integers(-1, 9), st.just(False)
        ),
        max_size=20,
    ),
    ties,
)
def test_events_in_any_order_with_any_rows(events, policy):
    log, expected = UserLog(iter(events), ties=policy), ObjectLog(events, ties=policy)
    same(log, expected, events)
    names = {"user_id": pl.String(), "item_id": pl.String(), "label": pl.Int8(), "timestamp": pl.Int64(), "event": pl.Int64()}
    frame = pl.DataFrame([(*e[:2], int(e.liked), *e[3:5]) for e in events], schema=names, orient="row")
    same_columns(log, expected, frame.with_columns(sampled=pl.lit(False)))


@given(st.lists(st.integers(0, 9), max_size=40))
def test_many_rows_are_grouped_as_few_are(numbers):
    user = np.array(numbers, dtype=np.int32)
    with pytest.MonkeyPatch.context() as patch:
        few = grouped(user, 10)
        patch.setattr(columns, "_FEW", 0)
        assert grouped(user, 10).tolist() == few.tolist() == sorted(range(len(user)), key=numbers.__getitem__)


def test_ids_whose_hashes_are_one_are_told_apart(monkeypatch):
    monkeypatch.setattr(ids, "hash", lambda name: 7, raising=False)
    found = ids.Ids(pl.Series(["a", "b", "c"]))
    assert [found.find(name) for name in ("a", "b", "c", "d", None)] == [0, 1, 2, -1, -1]


def test_ids_are_found_again_by_another_process():
    """Python hashes texts otherwise in each, so hashes are not what is pickled."""
    told = pickle.dumps(ids.Ids(pl.Series(["a", "b"])))
    assert pickle.loads(told).find("b") == 1 and b"_hashes" not in told  # noqa: S301  # our own


def test_a_judgement_that_is_replaced_is_never_missing():
    """Readers see the state before or after, while one thread puts and another user comes and goes."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    log, wrong, over = UserLog([Event("u", "a", True, 5), Event("u", "b", True, 6)]), [], threading.Event()

    def read():
        try:
            while not over.is_set():
                told = [(event.item_id, event.timestamp) for event in log.before("u", 7)]
                first, users = log.first("u", "a"), log.users
                if told != [("a", 5), ("b", 6)] or first is None or log.verdict("u", "b", 7) is None or users[0] != "u" or "u" not in log:
                    wrong.append((told, first, users))
        except Exception as error:  # noqa: BLE001  # whatever it is, it should not be
            wrong.append(error)

    threads = [threading.Thread(target=read) for _ in range(2)]
    try:
        for thread in threads:
            thread.start()
        for turn in range(4000):
            log.put(Event("u", "a", turn % 2 == 0, 5))
            log.put(Event("v", "a", True, turn))
            log.drop(Event("v", "a", True, turn))
    finally:
        over.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(before)
    assert not wrong and log.users == ["u"] and len(log) == 1


def test_more_users_than_are_kept_as_objects(monkeypatch):
    monkeypatch.setattr(kept_by, "_KEPT", 100)
    names = [f"user {number}" for number in range(300)]
    events = [Event(name, "a", number % 3 == 0, number % 7) for number, name in enumerate(names)]
    log = UserLog(events)
    assert all(log.of(event.user_id) == [event] for _ in range(2) for event in events) and log.users == names
    assert len(log._objects._kept) == 100


@pytest.mark.parametrize("empty", [[], [Event("u", "a", True, 1, 0, True)]])
def test_a_log_of_nothing(empty):
    log = UserLog(empty)
    assert log.users == [] and len(log) == 0 and "u" not in log and log.before("u", None) == [] and log.verdict("u", "a", None) is None
    assert isinstance(log.columns, EventColumns) and not len(log.columns.time)
    assert log.columns.before(np.array([-1]), np.array([4]))[1].tolist() == [0]
