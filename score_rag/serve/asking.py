"""What a request asks, looked up in the data as it is now: whose history, which items, by which route; no model is asked here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from score_rag.arguments import read_time
from score_rag.context.question import Question
from score_rag.data.log import Event, Item
from score_rag.errors import InputError, did_you_mean
from score_rag.pipeline.routes import ROUTES, Known
from score_rag.pipeline.serving_run import ServingRun
from score_rag.recommend.candidates import find_candidates
from score_rag.recommend.items import find_item
from score_rag.recommend.names import find_user, item_names
from score_rag.recommend.question import FoundQuestion, find_history
from score_rag.serve.refusals import Unknown

__all__ = ["Person", "at_its_time", "find_asked", "find_items", "find_person", "item_route", "propose", "questions_of"]

_LEAST = 50
"""Candidates that a ranking orders at least."""


@dataclass(frozen=True)
class Person:
    """Who asks.

    Attributes:
        user_id: None for somebody who is not in the data.
        history: Strictly before `as_of`.
        route: One of `KNOWN`.
        why: Of the route, in a sentence.
        indexed: Whether the index has a document of this user, so that others can find them; None for somebody without a name.
    """

    user_id: str | None
    history: Sequence[Event]
    as_of: int | None
    route: Known
    why: str
    indexed: bool | None


def find_person(run: ServingRun, user_id: str | None, history: Any, as_of: Any) -> Person:
    """Look up who asks.

    Raises:
        Unknown: There is no such user.
        InputError: Both a user and a history are given, or one of them is of another form.
    """
    world = run.histories
    when = read_time(as_of)
    if user_id is not None and history is not None:
        raise InputError("a user of the data brings a history; another one cannot be added", expected="user_id or history")
    if history is not None:
        events = find_history(world, None, history, when)
        return Person(None, events, when, *_route(run, None, events), None)
    if user_id is None:
        return Person(None, [], when, "fallback", "nobody was named and no history given: the answer rests on the items alone", None)
    found = find_user(world.log, user_id)
    if found not in world.log:
        raise Unknown(
            "unknown_user",
            f"there is no user {user_id!r} in the data",
            expected=f"one of {len(world.log):,} users",
            hint="of somebody else, give the history; feedback makes a user known at once",
        )
    events = world.log.before(found, when)
    return Person(found, events, when, *_route(run, found, events), run.index.visible_place(found) is not None)


def _route(run: ServingRun, user_id: str | None, events: Sequence[Event]) -> tuple[Known, str]:
    if not events:
        return "fallback", "no history is known at that time: the answer rests on the items alone"
    if user_id is not None and user_id in run.trained_users:
        return "personalised", ROUTES["personalised"]
    who = "a history was given" if user_id is None else "this user came after the training"
    return "history only", f"{who}: {len(events)} judgements are read, and no model was trained on them"


def item_route(run: ServingRun, person: Person, item_id: str) -> Known:
    """`cold item` where no model was trained on the item, otherwise the person's route."""
    return "cold item" if run.is_later(item_id) else person.route


def find_items(run: ServingRun, names: Sequence[str]) -> list[Item]:
    """Items by id or name; all that are unknown are named at once.

    Raises:
        Unknown: Some are.
    """
    catalogue = run.histories.catalogue
    found, lost = [], []
    for name in names:
        match = item_names(catalogue).find(name)
        if match.item is None:
            lost.append(name)
        else:
            found.append(match.item)
    if len(lost) == 1:
        try:
            find_item(catalogue, lost[0])
        except InputError as error:
            near = did_you_mean(lost[0], catalogue, show=0)
            raise Unknown("unknown_item", error.what, expected=error.expected, found=error.found, hint=near) from error
    if lost:
        raise Unknown(
            "unknown_item", f"{len(lost)} items are unknown, or could be several", found=", ".join(lost[:10]), expected="ids or names"
        )
    return found


def find_asked(run: ServingRun, user_id: str | None, history: Any, as_of: Any, item: str) -> tuple[Person, Item]:
    """Who asks about which item; of one that was judged already, just before that, unless a time is given."""
    person = find_person(run, user_id, history, as_of)
    (found,) = find_items(run, [item])
    return at_its_time(run, person, found), found


def at_its_time(run: ServingRun, person: Person, item: Item) -> Person:
    """Who asks about an item, as they were: just before they judged it, where they did, unless a time was given."""
    judged = None if person.user_id is None else run.histories.log.first(person.user_id, item.item_id)
    if judged is None or person.as_of is not None:
        return person
    return find_person(run, person.user_id, None, judged.timestamp)


def questions_of(person: Person, items: Sequence[Item]) -> list[FoundQuestion]:
    """A question for each item, all with one history. For an item that was judged already: as of now, whatever was said."""
    return [FoundQuestion(Question(person.user_id, item.item_id, person.history, person.as_of), item, ()) for item in items]


def propose(
    run: ServingRun, person: Person, wanted: int, *, candidates: Sequence[str] | None, categories: Sequence[str] | None, exclude_seen: bool
) -> list[Item]:
    """Items to rank, in the recommender's order."""
    catalogue = run.histories.catalogue
    seen = {event.item_id for event in person.history} if exclude_seen else set()
    if candidates is not None:
        ids = [item.item_id for item in find_items(run, candidates)]
    else:
        # A stored vector knows all that a user did; a time in the past must not.
        user = person.user_id if person.as_of is None else None
        most = len(catalogue) if categories else max(_LEAST, 2 * wanted)
        ids = find_candidates(run, user, person.history, most, exclude_seen=exclude_seen)
    items = [catalogue[item_id] for item_id in dict.fromkeys(ids) if item_id not in seen]
    if categories:
        genres = {name.casefold() for name in categories}
        items = [item for item in items if genres & {genre.casefold() for genre in item.genres}]
    return items if candidates is not None else items[: max(_LEAST, 2 * wanted)]
