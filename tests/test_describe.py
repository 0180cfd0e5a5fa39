"""What data is like, in numbers that can be counted by hand, and as a picture."""

from __future__ import annotations

import json
import sys

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from score_rag.data import DataReport
from score_rag.data.describe import BINS, Spread, describe, warm_mask
from score_rag.data.interactions import Interactions
from score_rag.data.plot import plot
from score_rag.data.prepare import prepare
from score_rag.errors import DataError, InputError, ScoreError

# u judges four items in training, v three; w is new in valid; d is new there and e in test; f is never judged.
ROWS = [
    ("u", "a", 1, 100, "train"),
    ("u", "b", 0, 100, "train"),
    ("u", "c", 1, 160, "train"),
    ("u", "a", 0, 200, "train"),
    ("v", "a", 1, 200, "train"),
    ("v", "b", 1, 300, "train"),
    ("v", "c", 1, 400, "train"),
    ("u", "a", 1, 86_400, "valid"),
    ("w", "d", 0, 86_400, "valid"),
    ("v", "a", 0, 90_000, "valid"),
    ("u", "e", 1, 172_800, "test"),
    ("v", "a", 1, 172_801, "test"),
]
ITEMS = pl.DataFrame(
    {
        "item_id": list("abcdef"),
        "title": ["Film a", "Film b", "item c", "Film d", "Film e", "Film f"],
        "year": [1990, None, 1992, 1993, None, None],
        "genres": [["Drama"], [], ["Comedy"], [], [], ["War"]],
        "creators": [[], ["Ann"], [], [], [], []],
    },
    schema_overrides={"year": pl.Int32()},
)


def world(rows=ROWS, **policies) -> Interactions:
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "label", "timestamp", "split"], orient="row")
    return Interactions(frame, ITEMS, **policies)


def told(summary) -> str:
    from io import StringIO

    from rich.console import Console

    screen = Console(file=StringIO(), width=100)
    for table in summary.to_tables():
        screen.print(table)
    return screen.file.getvalue()


def test_every_number_of_a_small_table_is_the_one_counted_by_hand():
    report = DataReport("hand", rows_read=15, dropped={"repeated": 3}, decisions={"titles cut": 1}, warnings=["mind [the] gap"])
    found = describe(world(), report)
    assert (found.events, found.sampled, found.labels) == (12, 0, "given")
    assert (found.users, found.items, found.items_with_events) == (3, 6, 5)
    assert found.density == 8 / (3 * 5)  # u: a b c e; v: a b c; w: d
    assert found.liked == 8 / 12
    # u has 4 + 1 + 1 events, v 3 + 1 + 1, w 1
    assert found.events_a_user == Spread(1, (1 + 5) / 2, 5, (5 + 6) / 2, 12 / 3, 6, {**dict.fromkeys(BINS, 0), "1": 1, "5-9": 2})
    # a has 6, b and c 2, d and e 1
    assert found.events_an_item == Spread(1, 1, 2, 2, 12 / 5, 6, {**dict.fromkeys(BINS, 0), "1": 2, "2": 2, "5-9": 1})
    assert found.same_second_own == 2 / 12  # u at 100
    assert found.same_second_any == (2 + 2 + 2) / 12  # and at 200, and at 86,400
    assert found.texts == {"year": (6 + 2 + 1) / 12, "genres": (6 + 2) / 12, "creators": 2 / 12, "keywords": 0, "title": (12 - 2) / 12}
    assert (found.ties, found.clock) == ("strict", "seconds")
    train, valid, test = found.splits
    assert (train.name, train.events, train.users, train.items, train.liked) == ("train", 7, 2, 3, 5 / 7)
    assert (train.first, train.last) == ("1970-01-01T00:01:40Z", "1970-01-01T00:06:40Z")
    assert (train.cold_user, train.cold_item, train.cold_either) == (None, None, None)
    assert train.one_class_users == 1  # v likes all
    assert (valid.events, valid.users, valid.items, valid.liked, valid.one_class_users) == (3, 3, 2, 1 / 3, 3)
    assert (valid.first, valid.last) == ("1970-01-02T00:00:00Z", "1970-01-02T01:00:00Z")
    # w is cold, and so is d
    assert (valid.cold_user, valid.cold_item, valid.cold_either) == (1 / 3, 1 / 3, 1 / 3)
    # a is warm by 3 events; e is not
    assert (test.cold_user, test.cold_item, test.cold_either) == (0, 1 / 2, 1 / 2)
    as_json = json.loads(json.dumps(found.to_dict()))
    assert as_json["reading"]["dropped"] == {"repeated": 3} and as_json["splits"][2]["labels"] == "given"
    shown = told(found)
    for part in ("15, 3 dropped", "66.7%", "3 rows dropped: repeated", "1 titles cut", "mind [the] gap", "1970-01-02T00:00:00Z"):
        assert part in shown
    assert "sampled" not in shown


def test_warm_means_three_training_judgements_of_user_and_item():
    data = world()
    assert warm_mask(data, data.events).tolist() == [item == "a" and user in "uv" for user, item, *_ in ROWS]
    assert warm_mask(data, data.events, 2).tolist() == [item in "abc" and user in "uv" for user, item, *_ in ROWS]
    assert warm_mask(data, data.events.head(0)).tolist() == [] and warm_mask(data, data.events, 0).all()
    strangers = pl.DataFrame({"user_id": ["u", "never", "u"], "item_id": ["a", "a", "seen"]})
    assert warm_mask(data, strangers).tolist() == [True, False, False]


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from("uvw"), st.integers(0, 9)), min_size=1, max_size=25))
def test_ties_are_those_that_a_comparison_of_all_pairs_finds(rows):
    found = describe(world([(user, "a", 1, time, "train") for user, time in rows]), DataReport("test"))
    assert found.same_second_own == sum(rows.count(row) > 1 for row in rows) / len(rows)
    times = [time for _, time in rows]
    assert found.same_second_any == sum(times.count(time) > 1 for time in times) / len(rows)


@given(st.lists(st.integers(1, 2000), min_size=1, max_size=30))
def test_every_count_lies_in_its_one_bin(counts):
    histogram = Spread.of(np.array(counts)).histogram
    assert sum(histogram.values()) == len(counts)
    for name, number in histogram.items():
        first, _, last = name.rstrip("+").partition("-")
        top = int(last or first) if not name.endswith("+") else max(counts)
        assert number == sum(int(first) <= count <= top for count in counts)


def test_the_toy_world(toy):
    found = describe(toy, DataReport("toy"))
    assert (found.users, found.items, found.events) == (36, 24, 36 * 18)
    assert found.events_a_user.min == found.events_a_user.max == 18
    assert found.texts == dict.fromkeys(found.texts, 1.0)
    assert sum(split.events for split in found.splits) == found.events
    assert found.liked == pytest.approx(sum(split.liked * split.events for split in found.splits) / found.events)
    assert [split.first < split.last for split in found.splits] == [True] * 3


def ordered(negatives: int) -> tuple[Interactions, DataReport]:
    """Three users with four likes each and nothing else said: no times, no dislikes."""
    frame = pl.DataFrame({"user_id": list("uuuuvvvvwwww"), "item_id": list("abcdabcdabcd")}).cast(pl.Categorical())
    items = pl.DataFrame({"item_id": list("abcdefgh"), "title": [f"Film {name}" for name in "abcdefgh"]})
    report = DataReport("order", rows_read=12)
    return prepare(frame, items, report=report, split="leave-last-out", negatives=negatives), report


def test_order_and_sampled_negatives_are_said_wherever_they_matter():
    found = describe(*ordered(negatives=2))
    assert (found.events, found.sampled, found.labels, found.clock) == (12, 24, "sampled negatives", "order")
    assert found.liked == 1 / (1 + 2) and all(split.liked == pytest.approx(1 / 3) for split in found.splits)
    assert (found.same_second_own, found.same_second_any) == (None, None)
    # Negatives are questions, not judgements: no user, item, count or density has them.
    assert (found.items_with_events, found.density, found.events_a_user.max) == (4, 12 / (3 * 4), 4)
    train, valid, test = found.splits
    assert (train.events, train.sampled, train.users, train.items) == (3 * 2, 3 * 2 * 2, 3, 2)
    assert (test.first, test.last) == ("order only", "order only")
    assert valid.one_class_users == test.one_class_users == 0
    # All users have but 2 training events.
    assert (test.cold_user, test.cold_either) == (1, 1)
    assert {split["labels"] for split in found.to_dict()["splits"]} == {"sampled negatives"}
    shown = told(found)
    assert "33.3% (sampled negatives)" in shown and "splits (sampled negatives)" in shown
    assert "order only" in shown and "share their second" not in shown


def test_sampled_training_rows_make_nothing_warm():
    data, _ = ordered(negatives=2)
    drawn = data.events.filter(pl.col("sampled"))
    assert not warm_mask(data, drawn, 1).any()
    assert warm_mask(data, data.events.filter(~pl.col("sampled") & (pl.col("split") == "train")), 2).all()


def test_an_empty_split_has_no_dates_and_no_shares():
    found = describe(world([row for row in ROWS if row[4] != "test"]), DataReport("test"))
    test = found.splits[2]
    assert (test.events, test.users, test.items, test.one_class_users) == (0, 0, 0, 0)
    assert (test.first, test.last, test.liked, test.cold_user, test.cold_either) == (None,) * 5
    assert "-" in told(found)
    nothing = describe(world([]), DataReport("empty"))
    assert (nothing.events, nothing.density, nothing.liked, nothing.events_a_user) == (0, None, None, None)
    assert nothing.same_second_any is None and told(nothing)


@pytest.mark.parametrize("case", ["toy", "order", "one event", "one second"])
def test_the_picture_is_a_png_of_its_size_with_something_on_it(case, toy, tmp_path):
    from PIL import Image

    data = {
        "toy": lambda: toy,
        "order": lambda: ordered(negatives=1)[0],
        "one event": lambda: world(ROWS[:1]),
        "one second": lambda: world([("u", "a", 1, 5, "train"), ("u", "b", 0, 5, "train"), ("v", "b", 0, 5, "test")]),
    }[case]()
    path = plot(data, tmp_path / "made" / "data.png", title="with a $ and [marks]")
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    with Image.open(path) as picture:
        assert picture.size == (1200, 800)
        pixels = np.asarray(picture.convert("RGB"))
    blue = (np.abs(pixels.astype(int) - (0x00, 0x72, 0xB2)).sum(axis=2) < 12).sum()
    assert pixels.min() < 50 and pixels.max() == 255 and blue > 1000
    assert [file.name for file in path.parent.iterdir()] == ["data.png"]  # nothing is left aside


def test_a_picture_that_cannot_be_drawn_says_why(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="PNG"):
        plot(world(), tmp_path / "data.pdf")
    with pytest.raises(DataError, match="no events"):
        plot(world([]), tmp_path / "data.png")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ScoreError, match="matplotlib") as caught:
        plot(world(), tmp_path / "data.png")
    assert caught.value.hint == "pip install 'score-rag[plot]'"
    assert not list(tmp_path.iterdir())


def test_a_killed_write_leaves_the_old_picture(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    path = tmp_path / "data.png"
    path.write_bytes(b"old")

    def broken(self, stream, **options):
        stream.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Figure, "savefig", broken)
    with pytest.raises(KeyboardInterrupt):
        plot(world(), path)
    assert path.read_bytes() == b"old" and [file.name for file in tmp_path.iterdir()] == ["data.png"]
