"""A question as a caller puts it, looked up: the one place that finds user, item, history and time, for every way to ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from score_rag.arguments import Time, read_id, read_text, read_time
from score_rag.context.question import Question
from score_rag.data.interactions import Interactions
from score_rag.data.log import Event, Item
from score_rag.errors import InputError, did_you_mean
from score_rag.recommend.history import parse_history
from score_rag.recommend.items import find_noted_item
from score_rag.recommend.names import find_user

__all__ = ["Asked", "Asker", "FoundQuestion", "History", "find_asker", "find_history", "find_question"]

History = str | Sequence[Event | str | int]
"""What somebody outside the data judged: a text that `parse_history` reads, or a list of events, names or ids (a minus before what was
disliked)."""


class Asked(NamedTuple):
    """A question as a caller puts it; see `find_question`."""

    user_id: str | int | None
    item_id: str | int
    history: History | None = None
    as_of: Time | None = None


class FoundQuestion(NamedTuple):
    """What was found.

    Attributes:
        question: User, history and time, complete.
        item: The item in question.
        notes: What the reader of the answer should know of how the question was understood.
    """

    question: Question
    item: Item
    notes: tuple[str, ...]


def find_question(
    interactions: Interactions,
    user_id: str | int | None,
    item: str | int,
    *,
    history: History | None = None,
    as_of: Time | None = None,
) -> FoundQuestion:
    """Look up a question.

    Args:
        user_id: A user of the data, or None together with `history`.
        item: An item of the catalogue, by id or by name.
        history: As `find_history` takes it.
        as_of: Time of the question, as `read_time` reads it. By default now; for an item that this user has judged already, just before
            that.

    Raises:
        InputError: The user, the item or something in the history is unknown, or an argument is of another form.
    """
    user_id = None if user_id is None else find_user(interactions.log, read_id(user_id, where="user_id"))
    as_of = read_time(as_of)
    target, note = find_noted_item(interactions.catalogue, read_id(item, where="item_id"))
    notes = [note] if note else []
    judged = None if history is not None or user_id is None else interactions.log.first(user_id, target.item_id)
    if judged is not None and as_of is None:
        as_of = judged.timestamp
        verdict = "liked" if judged.liked else "disliked"
        notes.append(f"user {user_id} has judged this item already ({verdict} it): answered as of just before")
    events = find_history(interactions, user_id, history, as_of, notes=notes)
    return FoundQuestion(Question(user_id, target.item_id, events, as_of, history is not None), target, tuple(notes))


class Asker(NamedTuple):
    """Who wants a ranking: the user, what they had judged, oldest first, and when they ask (None means now)."""

    user_id: str | None
    history: list[Event]
    as_of: int | None


def find_asker(interactions: Interactions, user_id: str | int | None, history: History | None, as_of: Time | None) -> Asker:
    """Look up who wants a ranking.

    Args:
        user_id: A user of the data, or None together with `history`.
        history: As `find_history` takes it.
        as_of: Time of the question, as `read_time` reads it.

    Raises:
        InputError: As `find_history`; or there is no history to start from.
    """
    when = read_time(as_of)
    user = None if user_id is None else read_id(user_id, where="user_id")
    events = find_history(interactions, user, history, when)
    if not events:
        raise InputError(
            "a ranking needs a history" + ("" if when is None else "; at that time there is none"),
            hint='give one, by names: "Heat (1995); Ronin (1998)"',
        )
    return Asker(user, events, when)


def find_history(
    interactions: Interactions,
    user_id: str | None,
    history: History | None,
    as_of: int | None,
    *,
    notes: list[str] | None = None,
) -> list[Event]:
    """The history behind a question, oldest first, strictly before `as_of`.

    Args:
        user_id: Whose history is looked up where none is given.
        history: What somebody outside the data judged.
        as_of: None means now.
        notes: Takes what a reader should know of how names were understood.

    Raises:
        InputError: There is no such user, neither a user nor a history is given, or an item of the history is unknown.
    """
    if isinstance(history, str):
        text = read_text(history, where="history")
        return parse_history(text, interactions.catalogue, when=_before(interactions, as_of), notes=notes)
    if history is not None:
        known = [event for event in _listed(interactions, history, as_of, notes) if as_of is None or event.timestamp < as_of]
        return sorted(known, key=lambda event: event.timestamp)
    if user_id is None:
        raise InputError(
            "neither a user nor a history is given", expected="one of them", hint='user 42, or the history "Heat (1995); Ronin (1998)"'
        )
    user_id = find_user(interactions.log, user_id)
    if user_id not in interactions.log:
        raise InputError(
            f"there is no user {user_id!r} in the data",
            expected=f"one of {len(interactions.log):,} users",
            hint=did_you_mean(user_id, interactions.log.users, show=0) + '; of another person, the history: "Heat (1995); Ronin (1998)"',
        )
    return interactions.log.before(user_id, as_of)


def _before(interactions: Interactions, as_of: int | None) -> int:
    """When somebody judged who does not say when: just before the question."""
    return (interactions.train_end if as_of is None else as_of) - 1


def _listed(interactions: Interactions, history: Sequence[Event | str | int], as_of: int | None, notes: list[str] | None) -> list[Event]:
    """Events from a list of events, names and ids; all that is unknown is named at once."""
    if not isinstance(history, Sequence) or isinstance(history, bytes):
        raise InputError("a history is a text or a list", where="history", expected=_EXPECTED, found=type(history).__name__)
    events, unknown = [], []
    for place, one in enumerate(history):
        if isinstance(one, Event):
            event = one._replace(item_id=read_id(one.item_id, where=f"history[{place}].item_id"))
            if event.item_id not in interactions.catalogue:
                unknown.append((event.item_id, did_you_mean(event.item_id, interactions.catalogue, show=0)))
        elif isinstance(one, tuple):
            raise InputError("an entry of a history is of another form", where=f"history[{place}]", expected=_EXPECTED, found=repr(one))
        else:
            name = read_id(one, where=f"history[{place}]").strip()
            try:
                item, note = find_noted_item(interactions.catalogue, name.removeprefix("-").strip())
            except InputError as error:
                unknown.append((name, error.hint or f"{error.what}: {error.found}"))
                continue
            if note and notes is not None:
                notes.append(note)
            event = Event("", item.item_id, not name.startswith("-"), _before(interactions, as_of))
        events.append(event)
    if unknown:
        raise InputError(
            "these items of the history are not in the catalogue",
            where="history",
            found=", ".join(dict.fromkeys(name for name, _ in unknown[:5])),
            hint="; ".join(dict.fromkeys(hint for _, hint in unknown[:5] if hint)) or None,
        )
    return events


_EXPECTED = '"Heat (1995); -Grease (1978)", or ["Heat (1995)", "-Grease (1978)"], or events'
