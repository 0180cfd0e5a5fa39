"""A question as a caller puts it, looked up: the one place that finds user, item, history and time, for every way to ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from score_rag.context.question import Question
from score_rag.data.interactions import Interactions
from score_rag.data.log import Event, Item
from score_rag.errors import InputError, did_you_mean
from score_rag.recommend.history import parse_history
from score_rag.recommend.items import find_noted_item
from score_rag.recommend.names import find_user

__all__ = ["FoundQuestion", "find_history", "find_question"]


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
    user_id: str | None,
    item: str,
    *,
    history: str | Sequence[Event] | None = None,
    as_of: int | None = None,
) -> FoundQuestion:
    """Look up a question.

    Args:
        user_id: A user of the data, or None together with `history`.
        item: An item of the catalogue, by id or by name.
        history: As `find_history` takes it.
        as_of: Time of the question, seconds. By default now; for an item that this user has judged already, just before that.

    Raises:
        InputError: The user, the item or something in the history is unknown.
    """
    user_id = None if user_id is None else find_user(interactions.log, user_id)
    target, note = find_noted_item(interactions.catalogue, item)
    notes = [note] if note else []
    judged = None if history is not None or user_id is None else interactions.log.first(user_id, target.item_id)
    if judged is not None and as_of is None:
        as_of = judged.timestamp
        verdict = "liked" if judged.liked else "disliked"
        notes.append(f"user {user_id} has judged this item already ({verdict} it): answered as of just before")
    events = find_history(interactions, user_id, history, as_of, notes=notes)
    return FoundQuestion(Question(user_id, target.item_id, events, as_of), target, tuple(notes))


def find_history(
    interactions: Interactions,
    user_id: str | None,
    history: str | Sequence[Event] | None,
    as_of: int | None,
    *,
    notes: list[str] | None = None,
) -> list[Event]:
    """The history behind a question, oldest first, strictly before `as_of`.

    Args:
        user_id: Whose history is looked up where none is given.
        history: What somebody outside the data judged: names, as `parse_history` reads them, or events.
        as_of: None means now.
        notes: Takes what a reader should know of how names were understood.

    Raises:
        InputError: There is no such user, neither a user nor a history is given, or an item of the history is unknown.
    """
    catalogue = interactions.catalogue
    if isinstance(history, str):
        return parse_history(history, catalogue, when=(as_of or interactions.train_end) - 1, notes=notes)
    if history is not None:
        strangers = list(dict.fromkeys(event.item_id for event in history if event.item_id not in catalogue))
        if strangers:
            raise InputError(
                "these items of the history are not in the catalogue",
                found=", ".join(strangers[:5]),
                hint=did_you_mean(strangers[0], catalogue, show=0),
            )
        known = [event for event in history if as_of is None or event.timestamp < as_of]
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
