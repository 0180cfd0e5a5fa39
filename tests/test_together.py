"""What is changed in place while other threads read: they see the state before or after, and never fail."""

from __future__ import annotations

import sys
import threading
import time

import pytest

from score_rag.context.rates import ItemRates
from score_rag.data.log import Event, UserLog
from score_rag.recommend.search import search_items

EVENTS = [Event("u", str(item), item % 2 == 0, 10 + item) for item in range(20)]


@pytest.fixture
def often():
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def fails(read, change, seconds=0.6):
    """What reading raises while another thread changes."""
    found, over = [], threading.Event()

    def reading():
        try:
            while not over.is_set():
                read()
        except Exception as error:  # noqa: BLE001  # whatever it is, it should not be
            found.append(error)

    threads = [threading.Thread(target=reading) for _ in range(2)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end and not found:
        change()
    over.set()
    for thread in threads:
        thread.join()
    return found


def test_a_verdict_that_was_gathered_before_a_change_is_not_kept():
    log = UserLog(EVENTS)
    assert log.verdict("u", "3", None) is False
    gathered = log._of("u")
    log.put(Event("u", "3", True, 50))
    # A thread that read before the change, and gathers only now, does so of what it read.
    gathered._own = None
    assert [event.liked for event in gathered.on("3")] == [False] and log.verdict("u", "3", None) is True
    log.drop(Event("u", "3", True, 50))
    assert log.verdict("u", "3", None) is False


def test_rates_of_an_item_whose_judgements_come_and_go(often, toy_parts):
    rates = ItemRates(toy_parts.interactions)
    one = Event("u", "new", True, 5)

    def change():
        rates.put(one)
        rates.drop(one)

    assert not fails(lambda: rates.counts("new", None), change)
    assert rates.counts("new", None) == (0, 0)


def test_a_search_while_an_item_comes_in(often, toy_parts):
    catalogue = dict(toy_parts.histories.catalogue)
    item = next(iter(catalogue.values()))

    def change():
        catalogue[f"new {len(catalogue)}"] = item
        time.sleep(0.0002)

    assert not fails(lambda: search_items(catalogue, "drama"), change)
