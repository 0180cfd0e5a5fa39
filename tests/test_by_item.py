"""What is counted by item is equal to counting one judgement after the other, at every moment, after whatever came and went."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from test_columns import ITEMS, cells, changes, ties, world

from score_rag.context.rates import ItemRates
from score_rag.crm.item_item import ItemKNN
from score_rag.crm.judgements import Judgements
from score_rag.crm.ranking import RankingTask
from score_rag.data.interactions import LEARNED, SPLITS, event_rows
from score_rag.reranker.offline import OfflineAssessor

MOMENTS = (None, *range(-1, 9))


@given(st.lists(cells, max_size=24), changes)
def test_rates_at_every_moment(rows, steps):
    made = world(rows, "strict")
    counted = [event for event in made.rows() if not event.sampled and event.row in set(made.learned["event"])]
    own = [(event.item_id, event.timestamp, event.liked) for event in counted]
    rates = ItemRates(made)
    for puts, event in steps:
        (rates.put if puts else rates.drop)(event)
        one = (event.item_id, event.timestamp, event.liked)
        if puts:
            own.append(one)
        elif one in own:
            own.remove(one)
    for now in MOMENTS:
        known = [liked for _, time, liked in own if now is None or time < now]
        assert rates.mean(now) == (sum(known) + 1) / (len(known) + 2)
        for item in [*ITEMS, "e", "none"]:
            theirs = [liked for name, time, liked in own if name == item and (now is None or time < now)]
            assert rates.counts(item, now) == (sum(theirs), len(theirs))


@given(st.lists(cells, max_size=24), st.sampled_from(["valid", "test"]))
def test_who_is_ranked_for_and_what_they_knew(rows, split):
    made = world(rows, "strict")
    place = {item: number for number, item in enumerate(made.catalogue)}
    earlier, liked = {}, {}
    for event in event_rows(made.events.filter(pl.col("split").is_in(SPLITS[: SPLITS.index(split)]))):
        if not event.sampled:
            earlier.setdefault(event.user_id, []).append(event)
    for event in made.rows(split):
        if event.liked and not event.sampled:
            liked.setdefault(event.user_id, set()).add(place[event.item_id])
    known = {user: {place[event.item_id] for event in earlier.get(user, [])} for user in liked}
    asked = [user for user in liked if liked[user] - known[user]]
    task = RankingTask(made, split)
    assert [one.user_id for one in task.asked] == asked
    assert [list(one.history) for one in task.asked] == [earlier.get(user, []) for user in asked]
    assert [found.tolist() for found in task.known] == [sorted(known[user]) for user in asked]
    assert [found.tolist() for found in task.relevant] == [sorted(liked[user] - known[user]) for user in asked]


@given(st.lists(st.lists(st.integers(-5, 5).filter(bool), max_size=9), max_size=6), st.lists(st.integers(0, 4), unique=True))
def test_rows_of_items_keep_the_last_of_several_judgements(read, warm):
    model = ItemKNN()
    model._know(list("abcde"))
    model._warm = np.array(sorted(warm), dtype=np.int64)
    expected = np.zeros((len(read), len(warm)), dtype=np.float32)
    for number, row in enumerate(read):
        for token in row:
            if abs(token) - 1 in warm:
                expected[number, sorted(warm).index(abs(token) - 1)] = np.sign(token)
    found = model._rows(read)
    assert found.toarray().tolist() == expected.tolist() and found.has_canonical_format and found.dtype == np.float32


@given(st.lists(cells, max_size=24), ties)
def test_judgements_and_the_bundled_assessor_read_events_as_they_stand(rows, policy):
    made = world(rows, policy)
    place = {item: number for number, item in enumerate(made.catalogue)}
    learned = list(event_rows(made.events.filter(pl.col("split").is_in(LEARNED))))
    read = Judgements.of(made, place, "all")
    assert read.users == list(dict.fromkeys(event.user_id for event in learned))
    grouped = [event for user in read.users for event in learned if event.user_id == user]
    assert read.item.tolist() == [place[event.item_id] + 1 for event in grouped] and read.user.dtype == np.int64
    assert read.known.tolist() == [len(made.train_log.earlier(event)) for event in grouped]
    assessor, judged = OfflineAssessor(made), [event for event in learned if not event.sampled]
    assert assessor._items.tolist() == [place[event.item_id] for event in judged]
    assert assessor._signs.tolist() == [1.0 if event.liked else -1.0 for event in judged]
