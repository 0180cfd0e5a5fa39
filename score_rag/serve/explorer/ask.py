"""What a page is asked: by whom, about which item, and with which changes of the history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field

from score_rag.data.log import Event, Item
from score_rag.pipeline.serving_run import ServingRun
from score_rag.recommend.history import parse_history
from score_rag.serve.asking import Person, find_asked

__all__ = ["Ask", "Look", "find_look"]


class Ask(BaseModel):
    """The fields of the explorer's forms; an empty one was left empty.

    Attributes:
        user: A user's id; goes before `history`.
        history: Of somebody else: `Heat (1995); -Grease (1978)`.
        item: By id or name.
        add: Judgements to add, written as a history.
        without: Ids of items whose judgements to leave out.
    """

    model_config = ConfigDict(extra="ignore", str_strip_whitespace=True)

    user: Annotated[str, Field(max_length=512)] = ""
    history: Annotated[str, Field(max_length=8000)] = ""
    item: Annotated[str, Field(max_length=512)] = ""
    add: Annotated[str, Field(max_length=2000)] = ""
    without: Annotated[list[Annotated[str, Field(max_length=512)]], Field(max_length=200)] = []
    n: Annotated[int, Field(ge=1, le=50)] = 10

    @property
    def user_id(self) -> str | None:
        return self.user or None

    @property
    def given(self) -> list[Event] | str:
        """The history of who is not in the data."""
        return self.history or []

    @property
    def changes(self) -> bool:
        """Whether something of the history is changed."""
        return bool(self.add or self.without)

    @property
    def who(self) -> str:
        """For headings."""
        return f"user {self.user}" if self.user else "somebody with this history" if self.history else "somebody unknown"

    def query(self, *, path: str, item: str = "") -> str:
        """An address that asks the same, about an item."""
        fields = {"user": self.user} if self.user else {"history": self.history} if self.history else {}
        return f"{path}?{urlencode({**fields, **({'item': item} if item else {})})}"


@dataclass(frozen=True)
class Look:
    """A question that was looked up.

    Attributes:
        before: The history as it is.
        kept: What of it is left.
        added: What comes after.
    """

    person: Person
    item: Item
    before: list[Event]
    kept: list[Event]
    added: list[Event]

    @property
    def after(self) -> list[Event]:
        """The history with its changes."""
        return [*self.kept, *self.added]


def find_look(run: ServingRun, ask: Ask) -> Look:
    """Look up a question and its changes.

    Raises:
        Unknown: There is no such user or item.
        InputError: Something that is added is unknown.
    """
    person, item = find_asked(run, ask.user_id, None if ask.user else ask.given, None, ask.item)
    before, dropped = list(person.history), set(ask.without)
    kept = [event for event in before if event.item_id not in dropped]
    return Look(person=person, item=item, before=before, kept=kept, added=_added(run, person, before, ask))


def _added(run: ServingRun, person: Person, before: Sequence[Event], ask: Ask) -> list[Event]:
    """The latest judgements of the history; nothing at or after the question's time is known to anybody."""
    if not ask.add:
        return []
    latest = max((event.timestamp for event in before), default=run.histories.train_end)
    when = latest if person.as_of is None else person.as_of - 1
    added = parse_history(ask.add, run.histories.catalogue, when=when)
    return [event._replace(user_id=person.user_id or "") for event in added]
