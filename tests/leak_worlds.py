"""Random small worlds, each with a question and with another future: what the tests of leaks draw from.

Times lie just before and after month ends (UTC), told from several zones; seconds are shared within and across users, years lie between
some, users may have a single event, events may be repeated, negatives may be drawn, the earliest events may be background, and ties may
be either policy's.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl
from hypothesis import assume
from hypothesis import strategies as st

from score_rag.data.interactions import LEARNED, QUESTIONS, Interactions, items_frame
from score_rag.data.log import Item
from score_rag.data.mistakes import Mistakes
from score_rag.data.negatives import add_negatives
from score_rag.data.report import DataReport
from score_rag.data.split import split_events
from score_rag.data.table import parse_events

__all__ = ["COMMON", "ITEMS", "TIMES", "USERS", "questions", "seconds", "table", "worlds"]

ITEMS = [Item(f"i{n}", f"Film {n}", 1990 + n % 3 * 10, ("Drama", "Horror")[n % 2 :][:1], (f"Maker {n % 4}",), ("sea",)) for n in range(12)]
USERS, COMMON = "abcde", [item.item_id for item in ITEMS[:8]]
# Month ends in UTC, some told from elsewhere: the second and the third are one moment, and so are the fourth and the fifth.
TOLD = (
    *("2000-03-31T23:59:58Z", "2000-09-30T23:59:59+00:00", "2000-10-01T01:59:59+02:00", "2000-10-01T00:00:00Z"),
    *("2000-09-30T19:00:00-05:00", "2000-10-31T23:59:59-01:00", "2000-11-01T00:00:00+00:00", "2000-12-31T23:59:59Z"),
    *("2001-01-01T05:30:00+05:30", "2004-02-29T23:59:59Z"),
)


def seconds(told):
    """Times as a reader of tables understands them."""
    cells = pl.DataFrame({"timestamp": told, "_line": range(len(told))})
    return parse_events(cells, file=Path("told"), mistakes=Mistakes(), report=DataReport("told"))["timestamp"].to_list()


TIMES = seconds(TOLD)
COLUMNS = ("user_id", "item_id", "label", "timestamp", "split", "sampled")


def table(rows, ties):
    kinds = {"user_id": pl.Categorical(), "item_id": pl.Categorical(), "label": pl.Int8()}
    return Interactions(pl.DataFrame(rows, schema=COLUMNS, orient="row").cast(kinds), items_frame(ITEMS), ties=ties)


def plain(world):
    return world.events.select(COLUMNS).cast({"user_id": pl.String(), "item_id": pl.String(), "split": pl.String()}).rows()


@st.composite
def worlds(draw, *, background=None):
    """A world; the earliest of its training events are background, or none, or (None) whatever is drawn."""
    one = st.tuples(st.sampled_from(USERS), st.sampled_from(COMMON), st.integers(0, 1), st.sampled_from(TIMES))
    rows = draw(st.lists(one, min_size=5, max_size=20))
    rows += draw(st.lists(st.sampled_from(rows), max_size=3))
    frame = pl.DataFrame(rows, schema=COLUMNS[:4], orient="row").sort("timestamp", maintain_order=True)
    frame = frame.cast({"user_id": pl.Categorical(), "item_id": pl.Categorical(), "label": pl.Int8()})
    frame = split_events(frame, split="quantiles", train=0.6, valid=0.2, report=DataReport("random"))
    train = frame.filter(pl.col("split") == "train")["timestamp"].unique().sort().to_list()
    if len(train) > 1 and (draw(st.booleans()) if background is None else background):
        first = draw(st.sampled_from(train[1:]))
        frame = frame.with_columns(
            split=pl.when(pl.col("timestamp") < first).then(pl.lit("background")).otherwise(pl.col("split").cast(pl.String()))
        )
    assume(background is None or (frame["split"] == "background").any() == background)
    if draw(st.booleans()):
        frame = add_negatives(frame.with_columns(label=pl.lit(1, dtype=pl.Int8)), pl.Series([i.item_id for i in ITEMS]), count=1, seed=1)
    return Interactions(frame, items_frame(ITEMS), ties=draw(st.sampled_from(["strict", "file-order"])))


@st.composite
def questions(draw, *, held_out=False, happens=True):
    """(world, asked, the same world with another future, the same question there); without `happens`, only labels and items differ."""
    world = draw(worlds())
    events = list(world.rows())
    splits = world.events["split"].to_list()
    # Background events are no questions.
    places = [n for n, split in enumerate(splits) if split in QUESTIONS and not (held_out and split == "train")]
    assume(len(places) and splits[0] in LEARNED)
    asked = events[draw(st.sampled_from(places))]
    rows, now = plain(world), asked.timestamp
    fates = draw(st.lists(st.sampled_from("kfi" + "g" * happens), min_size=len(rows), max_size=len(rows)))
    out = []
    for row, fate, event in zip(rows, fates, events, strict=True):
        mine = event.user_id == asked.user_id and event.timestamp == now and event.row <= asked.row
        known = event.timestamp < now or (mine and world.ties == "file-order" and event.row < asked.row)
        user, item, label, *rest = row
        if event.row == asked.row:
            out.append((user, item, draw(st.integers(0, 1)), *rest, True))
        elif known or fate == "k":
            out.append((*row, False))
        elif fate != "g":
            out.append((user, item if fate == "f" else COMMON[0], 1 - label, *rest, False))
    if happens:
        # What is put in stands behind everything of its second, so that no order within it makes it earlier.
        more = st.tuples(
            st.sampled_from(USERS), st.sampled_from(COMMON), st.integers(0, 1), st.sampled_from([t for t in TIMES if t >= now])
        )
        for user, item, label, time in draw(st.lists(more, max_size=4)):
            split = next(split for event, split in zip(reversed(events), reversed(splits), strict=True) if event.timestamp <= time)
            out.append((user, item, label, time, split, False, False))
    out.sort(key=lambda row: row[3])
    after = table([row[:6] for row in out], world.ties)
    return world, asked, after, list(after.rows())[next(n for n, row in enumerate(out) if row[6])]
