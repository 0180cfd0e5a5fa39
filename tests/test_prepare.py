"""From what a source says to the one table: splits, k-core, repeats, negatives, and books that add up."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from score_rag.data import DataReport
from score_rag.data.interactions import Interactions
from score_rag.data.negatives import add_negatives
from score_rag.data.prepare import core, prepare
from score_rag.data.split import split_events
from score_rag.errors import DataError, InputError

ITEMS = pl.DataFrame({"item_id": list("abcdefgh"), "title": [f"Film {name}" for name in "abcdefgh"]})
COLLM = {"train": (14, 23), "valid": (24, 28), "test": (29, 33)}
ROWS = st.lists(
    st.tuples(st.sampled_from("uvwx"), st.sampled_from("abcdef"), st.sampled_from([1.0, 3.5, 4.0, 5.0]), st.integers(0, 12)),
    min_size=1,
    max_size=40,
)


def frame(rows, *, rated=True, timed=True):
    columns = ["user_id", "item_id", *(["rating"] if rated else []), *(["timestamp"] if timed else [])]
    kept = [[row[0], row[1], *([row[2]] if rated else []), *([row[3]] if timed else [])] for row in rows]
    return pl.DataFrame(kept, schema=columns, orient="row").cast({"user_id": pl.Categorical(), "item_id": pl.Categorical()})


def prepared(rows, *, rated=True, timed=True, **settings) -> tuple[Interactions, DataReport]:
    report = DataReport("test", rows_read=len(rows))
    return prepare(frame(rows, rated=rated, timed=timed), ITEMS, report=report, **settings), report


@given(ROWS, st.sampled_from(["quantiles", "leave-last-out", "months"]), st.sampled_from([None, 1, 2, 3]))
def test_the_books_add_up_and_no_row_is_lost_or_invented(rows, split, k_core):
    try:
        world, report = prepared(
            rows, split=split, k_core=k_core, months={"start": "1970-04", "train": (-3, -3), "valid": (-2, -2), "test": (-1, -1)}
        )
    except DataError as error:
        assert "no events" in str(error) or "no event is left" in str(error)
        return
    assert report.rows_read == len(rows) == sum(report.kept.values()) + sum(report.dropped.values())
    last = {(user, item, time): rating >= 4 for user, item, rating, time in rows}
    found = {(u, i, t): bool(label) for u, i, t, label in world.events.select("user_id", "item_id", "timestamp", "label").iter_rows()}
    assert found.items() <= last.items() and len(found) == len(world.events)
    if k_core is None:
        assert len(found) == len(last)


@given(ROWS, st.integers(1, 3))
def test_k_core_equals_leaving_out_until_nothing_changes(rows, k):
    kept = list(rows)
    while True:
        users, items = Counter(row[0] for row in kept), Counter(row[1] for row in kept)
        fewer = [row for row in kept if users[row[0]] >= k and items[row[1]] >= k]
        if len(fewer) == len(kept):
            break
        kept = fewer
    report = DataReport("test")
    found = core(frame(rows), k, report=report)
    assert found.rows() == [tuple(row) for row in kept]
    assert sum(report.dropped.values()) == len(rows) - len(kept)


@given(st.lists(st.datetimes(datetime(2000, 3, 1), datetime(2003, 3, 31)), min_size=1, max_size=30), st.integers(-14, 14))
def test_months_are_calendar_months_of_utc(times, hours):
    """The index of METHOD, (year - 2000) * 12 + month - 4, whatever zone the clock that wrote the time stood in."""
    local = [time.replace(microsecond=0, tzinfo=UTC) + timedelta(hours=hours) for time in times]
    seconds = sorted(int(time.timestamp()) for time in local)
    events = pl.DataFrame({"user_id": ["u"] * len(seconds), "timestamp": seconds})
    report = DataReport("test")
    found = split_events(events, split="months", months=COLLM, report=report)
    expected = []
    for second in seconds:
        when = datetime.fromtimestamp(second, UTC)
        index = (when.year - 2000) * 12 + when.month - 4
        expected += [(second, name) for name, (first, last) in COLLM.items() if first <= index <= last]
    assert found.select("timestamp", "split").rows() == expected
    assert sum(report.dropped.values()) == len(seconds) - len(expected)


def test_the_last_second_of_a_month_belongs_to_it():
    edge = int(datetime(2002, 4, 1, tzinfo=UTC).timestamp())  # month index 24: the first of valid
    events = pl.DataFrame({"user_id": ["u", "u"], "timestamp": [edge - 1, edge]})
    assert split_events(events, split="months", months=COLLM, report=DataReport("test"))["split"].to_list() == ["train", "valid"]


def test_months_that_overlap_or_lack_a_split_are_refused():
    events = pl.DataFrame({"user_id": ["u"], "timestamp": [0]})
    for months in ({**COLLM, "valid": (20, 28)}, {**COLLM, "test": (33, 29)}, {"train": (24, 25)}):
        with pytest.raises(InputError, match="months"):
            split_events(events, split="months", months=months, report=DataReport("test"))


@given(ROWS)
def test_leave_last_out_takes_each_users_last_two_and_warns(rows):
    world, report = prepared(rows, split="leave-last-out")
    assert any("leave-last-out" in warning and "future" in warning for warning in report.warnings)
    for _, own in world.events.group_by("user_id"):
        splits = own.sort("event")["split"].to_list()
        expected = ["train"] * (len(splits) - 2) + ["valid", "test"] if len(splits) >= 3 else ["train"] * len(splits)
        assert splits == expected


def test_ties_by_file_order_let_the_earlier_row_of_the_second_into_a_history_and_say_so():
    rows = [("u", "a", 5.0, 1), ("u", "b", 5.0, 2), ("u", "c", 5.0, 2), ("v", "a", 1.0, 1), ("v", "c", 1.0, 2)]
    for ties, expected in (("strict", ["a"]), ("file-order", ["a", "b"])):
        world, report = prepared(rows, ties=ties)
        last = next(event for event in world.rows() if event.user_id == "u" and event.item_id == "c")
        assert [event.item_id for event in world.log.earlier(last)] == expected
        assert any("file-order" in warning for warning in report.warnings) == (ties == "file-order")


def test_a_second_row_of_the_same_second_replaces_the_first_and_is_counted():
    rows = [("u", "a", 5.0, 1), ("u", "a", 1.0, 1), ("u", "a", 5.0, 9), ("u", "b", 5.0, 3), ("v", "b", 5.0, 3), ("v", "b", 5.0, 3)]
    world, report = prepared(rows)
    assert report.dropped == {"repeated: same user, item and time": 2}
    assert report.decisions["times a user gave an item both labels in one second, the last row is used"] == 1
    assert report.decisions["pairs of user and item judged at several times, all kept"] == 1
    assert world.log.verdict("u", "a", 5) is False and world.log.verdict("u", "a", 10) is True


def test_items_without_an_entry_are_named_by_their_id():
    report = DataReport("test", rows_read=2)
    world = prepare(frame([("u", "a", 5.0, 1), ("v", "zz", 1.0, 2)]), ITEMS.head(2), report=report)
    assert world.item("zz").title == "item zz" and "1 items that have events but are not in the catalogue" in " ".join(report.lines())
    with pytest.raises(DataError, match="not one item"):
        prepare(frame([("u", "zz", 5.0, 1)]), ITEMS, report=DataReport("test", rows_read=1))


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.sampled_from("uvw"), st.sampled_from("abcde")), min_size=1, max_size=15, unique=True),
    st.integers(1, 3),
    st.booleans(),
)
def test_negatives_are_never_an_item_of_their_user_at_any_time(pairs, count, popular):
    rows = [(user, item, 5.0, 0) for user, item in pairs]
    world, report = prepared(
        rows, rated=False, timed=False, split="leave-last-out", negatives=count, negative_sampling="popularity" if popular else "uniform"
    )
    own = {(user, item) for user, item in pairs}
    drawn = world.events.filter(pl.col("sampled"))
    assert len(drawn) == count * len(pairs) == report.sampled
    assert not own & set(drawn.select("user_id", "item_id").iter_rows()) and set(drawn["label"]) <= {0}
    for _, group in drawn.group_by("user_id", "timestamp"):
        assert group["item_id"].n_unique() == len(group) == count
    assert all(not event.sampled for user in world.log.users for event in world.log.of(user))
    assert any("sampled negatives" in warning for warning in report.warnings)
    # A negative and its event are asked with the same history, under either policy of ties.
    for ties in ("strict", "file-order"):
        again = Interactions(world.events, world.items, ties=ties, clock=world.clock)
        told: dict[tuple[str, int], set[tuple[str, ...]]] = {}
        for event in again.rows():
            told.setdefault((event.user_id, event.timestamp), set()).add(tuple(e.item_id for e in again.log.earlier(event)))
        assert all(len(histories) == 1 for histories in told.values())


def test_negatives_follow_popularity_where_asked_and_are_the_same_for_a_seed():
    users = [f"u{number}" for number in range(200)]
    events = pl.DataFrame(
        {"user_id": users * 2, "item_id": ["a"] * 200 + ["b"] * 200, "timestamp": range(400), "label": 1, "split": "train"}
    )
    events = events.vstack(events.head(1).with_columns(user_id=pl.lit("x"), item_id=pl.lit("h"))).cast(
        {"item_id": pl.Categorical(), "label": pl.Int8()}
    )
    lonely = events.filter(pl.col("user_id") != "x").with_columns(item_id=pl.lit("c").cast(pl.Categorical()))
    world = pl.concat([events, lonely.head(200).with_columns(user_id=pl.Series([f"w{n}" for n in range(200)]))])
    draws = {
        kind: add_negatives(world, ITEMS["item_id"], count=1, sampling=kind, seed=1).filter(
            pl.col("sampled") & pl.col("user_id").str.starts_with("w")
        )
        for kind in ("uniform", "popularity")
    }
    share = {kind: float(drawn["item_id"].is_in(["a", "b"]).mean()) for kind, drawn in draws.items()}
    # 400 of 601 training events are of a or b; of the seven items that a "w" user lacks, they are two.
    assert abs(share["uniform"] - 2 / 7) < 0.12 and share["popularity"] > 0.8
    same = add_negatives(world, ITEMS["item_id"], count=1, seed=1)
    assert same.equals(add_negatives(world, ITEMS["item_id"], count=1, seed=1))
    assert not same.equals(add_negatives(world, ITEMS["item_id"], count=1, seed=2))


def test_somebody_who_has_nearly_everything_still_gets_what_is_left():
    rows = [("u", item, 5.0, 0) for item in "abcdefg"]
    world, _ = prepared(rows, rated=False, timed=False, split="leave-last-out", negatives=1)
    assert set(world.events.filter(pl.col("sampled"))["item_id"]) == {"h"}
    with pytest.raises(DataError, match="too few items"):
        prepared(rows, rated=False, timed=False, split="leave-last-out", negatives=2)


def test_settings_that_do_not_fit_the_data_are_refused():
    rows = [("u", "a", 5.0, 1), ("v", "b", 1.0, 2)]
    with pytest.raises(InputError, match="nothing to learn"):
        prepared(rows, rated=False)
    with pytest.raises(InputError, match="implicit feedback only"):
        prepared(rows, negatives=1)
    with pytest.raises(InputError, match="only an order"):
        prepared(rows, timed=False)
    with pytest.raises(DataError, match="no event is left"):
        prepared(rows, k_core=9)
    with pytest.raises(DataError, match="no events"):
        prepared([])


def test_order_without_times_keeps_all_of_train_before_what_is_held_out():
    rows = [(user, item, 5.0, 0) for user, items in (("u", "abcdefg"), ("v", "abc")) for item in items]
    world, report = prepared(rows, rated=False, timed=False, split="leave-last-out", negatives=1)
    spans = {split: part["timestamp"] for (split,), part in world.events.group_by("split")}
    assert spans["train"].max() < spans["valid"].min() <= spans["valid"].max() < spans["test"].min()
    test = next(event for event in world.rows("test") if event.user_id == "u")
    assert [event.item_id for event in world.log.earlier(test)] == list("abcdef")
    assert world.clock == "order" and any("no times" in warning for warning in report.warnings)


def test_fewer_users_are_a_seeded_draw_of_whole_users():
    rows = [(f"u{number}", item, 5.0, number) for number in range(10) for item in "ab"]
    world, report = prepared(rows, max_users=3, seed=4)
    assert world.events["user_id"].n_unique() == 3 and len(world.events) == 6
    assert report.dropped == {"of users beyond data.max_users = 3": 14}
    assert prepared(rows, max_users=3, seed=4)[0].events.equals(world.events)


def test_policies_come_back_with_the_table(tmp_path):
    world, _ = prepared([("u", "a", 5.0, 1), ("v", "b", 1.0, 2)], ties="file-order")
    world.write(tmp_path)
    again = Interactions.read(tmp_path)
    assert (again.ties, again.clock) == ("file-order", "seconds") and again.events.equals(world.events)
    assert np.array_equal(again.events["event"], np.arange(2))
