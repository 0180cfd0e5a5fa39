"""One question: will this user like this item?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from score_rag.data.log import Event

__all__ = ["Question", "told_questions"]


@dataclass(frozen=True)
class Question:
    """Will this user like this item?

    Attributes:
        user_id: A user of the data, or None for somebody who is not in it.
        item_id: The item in question.
        history: The user's events strictly before `as_of`, oldest first.
        as_of: Time of the question, seconds; None means now: everything that the index holds is known.
        given: Whether the history is the caller's: then it may be another one than the data's for this user and time.
    """

    user_id: str | None
    item_id: str
    history: Sequence[Event]
    as_of: int | None = None
    given: bool = False

    @cached_property
    def key(self) -> tuple[str, str, int] | None:
        """What names a question that is always the same: who, what, when; None where histories may differ: strangers, now, a given one."""
        return None if self.user_id is None or self.as_of is None or self.given else (self.user_id, self.item_id, self.as_of)


def told_questions(question: Question, events: Sequence[Event]) -> list[Question]:
    """The questions that events of a history once were, each with what was strictly earlier.

    Args:
        question: Whose history it is.
        events: Some of its events, in order.
    """
    out = []
    for event in events:
        earlier = question.history
        end = len(earlier)
        while end and earlier[end - 1].timestamp >= event.timestamp:
            end -= 1
        out.append(Question(question.user_id, event.item_id, earlier[:end], event.timestamp, question.given))
    return out
