"""Every statement of an explanation is true of the data: checked against the raw events of random worlds, strictly earlier ones alone."""

from __future__ import annotations

import bisect
import re

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from score_rag import open_recommender
from score_rag.cli.recommend_screen import show
from score_rag.context.evidence import Evidence
from score_rag.context.levels import WORDS, Levels
from score_rag.context.neighbours import Witnesses
from score_rag.context.question import Question
from score_rag.context.writer import Told
from score_rag.data.interactions import Interactions, items_frame
from score_rag.data.log import Event, Item
from score_rag.index.reader import Hit
from score_rag.predictor.answer import Answer
from score_rag.recommend.explain import explain
from score_rag.recommend.question import find_question

GENRES = ("Crime", "Poetry", "Travel")
USERS = [f"u{number}" for number in range(4)]
ITEMS = [Item(f"i{number}", f"Title {number}", genres=tuple({GENRES[number % 3], GENRES[number // 3]})) for number in range(8)]
CATALOGUE = {item.item_id: item for item in ITEMS}
NAMED = {item.name: item.item_id for item in ITEMS}

# One judgement a user and item, as `data` leaves them; times collide often, so that "strictly" is put to the test.
EVENTS = st.lists(
    st.builds(
        Event,
        st.sampled_from(USERS),
        st.sampled_from(list(CATALOGUE)),
        st.booleans(),
        st.integers(1, 12),
    ),
    min_size=1,
    max_size=32,
    unique_by=lambda event: event[:2],
)


def verdict(events, user, item, when):
    """From the raw rows: what a user said of an item strictly before a time; None where nothing."""
    found = [
        event.liked for event in events if event.user_id == user and event.item_id == item and (when is None or event.timestamp < when)
    ]
    return found[-1] if found else None


def often(events, user, genre, when, items):
    """How many items of a genre a user liked strictly before a time."""
    return sum(verdict(events, user, item.item_id, when) is True for item in items if genre in item.genres)


def check_neighbour(other, mine, events, learned, item_id, when, named, items):
    """All that is said of another user; `mine` is what the asker's history says of an item."""
    assert other.verdict == {None: "", True: "liked", False: "disliked"}[verdict(learned, other.user_id, item_id, when)]
    for liked, told in ((True, other.similar_liked), (False, other.similar_disliked)):
        for one in told:
            assert one.item_id != item_id and verdict(learned, other.user_id, one.item_id, when) is liked
    for said in other.in_common:
        words = re.fullmatch(r"both (liked|disliked|often like) (.+)", said)
        for name in words[2].split(", "):
            if words[1] == "often like":
                both = [
                    often(learned, other.user_id, name, when, items),
                    sum(mine.get(one.item_id) is True for one in items if name in one.genres),
                ]
                assert min(both) > 1, f"{said}: {both}"
            else:
                liked = words[1] == "liked"
                assert mine[named[name]] is liked and verdict(learned, other.user_id, named[name], when) is liked, said


@settings(max_examples=300, deadline=None)
@given(
    events=EVENTS,
    user=st.sampled_from(USERS),
    item=st.sampled_from(list(CATALOGUE)),
    when=st.none() | st.integers(1, 13),
    cut=st.integers(1, 13),
)
def test_what_is_said_of_other_users_is_true(events, user, item, when, cut):
    rows = [(*event[:2], int(event.liked), event.timestamp, "train" if event.timestamp < cut else "test") for event in events]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "label", "timestamp", "split"], orient="row").sort(
        "timestamp", maintain_order=True
    )
    interactions = Interactions(frame, items_frame(ITEMS))
    if user not in interactions.log:
        return
    asked = find_question(interactions, user, item, as_of=when)
    when = asked.question.as_of
    learned = [event for event in events if event.timestamp < cut]
    witnesses = Witnesses(interactions.train_log, interactions.catalogue)
    found = tuple(
        witnesses.view(Hit(other, other, "told", 0.5, 0, 0), item_id=item, as_of=when, history=asked.question.history, whole=False)
        for other in USERS
        if other != user
    )
    answer = explain(asked, Told("prompt", neighbours=found), Answer(0.5, 1.0), witnesses=witnesses, parts={})
    mine = {one.item_id: verdict(events, user, one.item_id, when) for one in ITEMS}
    for other in answer.neighbours:
        check_neighbour(other, mine, events, learned, item, when, NAMED, ITEMS)
        # Nothing that could be said of liked items in common is left out either.
        common = [one for one in CATALOGUE if one != item and mine[one] is True and verdict(learned, other.user_id, one, when) is True]
        assert len(common) > 5 or {one.item_id for one in other.shared} == set(common)
    judged = verdict(events, user, item, None)
    noted = [note for note in answer.warnings if "has judged this item already" in note]
    assert noted == [] or f"({'liked' if judged else 'disliked'} it)" in noted[0]


@settings(max_examples=150, deadline=None)
@given(events=EVENTS, user=st.sampled_from(USERS), item=st.sampled_from(list(CATALOGUE)), when=st.none() | st.integers(1, 13))
def test_rates_and_levels_are_those_of_strictly_earlier_events(events, user, item, when):
    rows = [(*event[:2], int(event.liked), event.timestamp) for event in events]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "label", "timestamp"], orient="row").sort("timestamp", maintain_order=True)
    interactions = Interactions(frame, items_frame(ITEMS))
    question = Question(user, item, interactions.log.before(user, when), when)
    values = Evidence(interactions, {}).values([question], ("everyone", "mood"))
    before = [event for event in events if when is None or event.timestamp < when]
    mean = (sum(event.liked for event in before) + 1) / (len(before) + 2)

    def rate(some):
        return (sum(event.liked for event in some) + 5 * mean) / (len(some) + 5)

    own = [event for event in before if event.user_id == user]
    assert values["everyone"][0] == pytest.approx(rate([event for event in before if event.item_id == item]))
    assert values["mood"][0] == pytest.approx(rate(own)) if own else np.isnan(values["mood"][0])
    # A level is the share of training questions with a smaller number.
    training = np.linspace(0, 1, 400)
    fact = Levels.fit({"everyone": training}).fact("everyone", float(values["everyone"][0]))
    assert (
        abs(int(fact.level) - 100 * bisect.bisect_left(training.tolist(), fact.value) / 400) <= 1
        and fact.word == WORDS[int(fact.level) // 10]
    )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(user=st.integers(0, 35), item=st.integers(0, 23), share=st.none() | st.floats(0.3, 1.0))
def test_a_finished_run_says_what_is_true(toy, opened, capsys, user, item, share):
    times = toy.events["timestamp"]
    when = None if share is None else int(times.quantile(share))
    events = [
        Event(*row)
        for row in toy.events.select(pl.col("user_id", "item_id").cast(pl.String()), pl.col("label") == 1, "timestamp").iter_rows()
    ]
    learned = [event for event, split in zip(events, toy.events["split"].cast(pl.String()), strict=True) if split == "train"]
    found = opened.recommend(str(user), str(item), as_of=when)
    judged = next((event for event in events if event[:2] == (str(user), str(item))), None)
    when = judged.timestamp if judged is not None and when is None else when
    items = list(toy.catalogue.values())
    named = {one.name: one.item_id for one in items}
    mine = {one.item_id: verdict(events, str(user), one.item_id, when) for one in items}
    for other in found.neighbours:
        check_neighbour(other, mine, events, learned, str(item), when, named, items)
    show(found, prompt=False)
    shown = capsys.readouterr().out
    assert all(f"│ {other.user_id} " in shown for other in found.neighbours), "who is told is shown"


@pytest.fixture(scope="module")
def opened(toy_run):
    return open_recommender(toy_run)
