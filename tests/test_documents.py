"""Behaviour told in words: what is said, and from when it may be known."""

from __future__ import annotations

import pytest

from score_rag.data.log import Event, Item, UserLog
from score_rag.documents import FOREVER, Describer, build_documents, describe_item
from score_rag.prompts import find_prompt

CATALOGUE = {str(n): Item(str(n), f"Film {n}", 1990 + n, ("Comedy",) if n % 2 else ("Horror",)) for n in range(10)}


@pytest.fixture
def describer():
    return Describer(find_prompt("describe_user"), CATALOGUE, max_liked=3, max_disliked=2)


def test_the_latest_verdict_counts_and_recent_films_come_first(describer):
    rows = [
        Event("u", "1", True, 1),
        Event("u", "3", True, 2),
        Event("u", "1", False, 3),
        Event("u", "5", True, 4),
        Event("u", "2", False, 5),
    ]
    text = describer.describe(rows)
    assert "Liked: Film 5; Film 3." in text and "Disliked: Film 2; Film 1." in text
    assert describer.describe([]) == ""


def test_distinctive_genres_are_those_liked_more_than_the_rest(describer):
    rows = [Event("u", str(n), n % 2 == 1, n) for n in range(10)]
    text = describer.describe(rows)
    assert "Prefers Comedy" in text and "Likes less: Horror" in text
    everything = describer.describe([event._replace(liked=True) for event in rows])
    assert "Likes less" not in everything


def test_exactly_one_version_is_visible_and_it_tells_only_earlier_events(describer):
    times = [1, 2, 2, 3, 5, 5, 5, 8, 9, 9]
    log = UserLog(Event("u", str(n), True, time) for n, time in enumerate(times))
    documents = build_documents(log, describer, every=2, sparser_after=2)
    assert documents["superseded_at"].max() == FOREVER
    for now in range(1, 12):
        seen = documents.filter((documents["known_until"] < now) & (documents["superseded_at"] >= now))
        assert len(seen) == (1 if now > documents["known_until"].min() else 0)
        for count in seen["events"]:
            assert all(time < now for time in times[:count])


def test_an_item_without_facts_is_its_title():
    assert describe_item(Item("1", "Heat")) == "Heat."
