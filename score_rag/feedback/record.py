"""What a line of the log says: a judgement that came in, that one is to be forgotten, or which file this is."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from typing import Any

from score_rag.data.log import Event, Item
from score_rag.files.lines import is_intact, marked_line

__all__ = ["Feedback", "Forgotten", "Head", "Key", "Line", "from_line", "natural_id", "to_line"]

Key = tuple[str, str, int]
"""User, item and second: of several judgements with the same, the one that was written last counts."""

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Feedback:
    """A judgement.

    Attributes:
        event_id: Names it: the same id again is the same judgement.
        liked: The verdict.
        timestamp: When it was given, seconds since 1970.
        request_id: The answer that it is about; None where it is about none.
        item: Facts of an item that the catalogue may not have; None says nothing.
        received: When it was written down, seconds since 1970.
    """

    event_id: str
    user_id: str
    item_id: str
    liked: bool
    timestamp: int
    request_id: str | None = None
    item: Item | None = None
    received: float = 0.0

    @property
    def event(self) -> Event:
        """As histories have it."""
        return Event(self.user_id, self.item_id, self.liked, self.timestamp)

    @property
    def key(self) -> Key:
        """What it is about, and when."""
        return self.user_id, self.item_id, self.timestamp


@dataclass(frozen=True)
class Forgotten:
    """The judgement of this id, written before, counts no more, as if it had never come."""

    event_id: str
    received: float = 0.0


@dataclass(frozen=True)
class Head:
    """The first line of a log that was written anew: `name` is of no other file, whatever number the file system gives it."""

    name: str


Line = Feedback | Forgotten | Head


def natural_id(user_id: str, item_id: str, timestamp: int | None) -> str:
    """The id of a judgement that brings none: the same user, item and second are the same judgement.

    >>> natural_id("7", "17", 5) == natural_id("7", "17", 5) != natural_id("71", "7", 5)
    True
    """
    return "auto-" + hashlib.sha256(json.dumps([user_id, item_id, timestamp]).encode()).hexdigest()[:32]


def to_line(said: Line) -> bytes:
    """A line of the log; its end is the only line break in it."""
    # ASCII alone: no other sign can be taken for the end of a line.
    return marked_line(_content(said), ascii_only=True).encode("ascii")


def _content(said: Line) -> dict[str, Any]:
    if isinstance(said, Head):
        return {"v": _FORMAT, "log": said.name}
    if isinstance(said, Forgotten):
        return {"v": _FORMAT, "forget": said.event_id, "received": round(said.received, 3)}
    feedback = said
    content: dict[str, Any] = {
        "v": _FORMAT,
        "id": feedback.event_id,
        "user": feedback.user_id,
        "item": feedback.item_id,
        "liked": feedback.liked,
        "time": feedback.timestamp,
        "received": round(feedback.received, 3),
    }
    if feedback.request_id is not None:
        content["request"] = feedback.request_id
    if feedback.item is not None:
        one = feedback.item
        facts = {"title": one.title, "year": one.year, "genres": one.genres, "creators": one.creators, "keywords": one.keywords}
        content["facts"] = {name: value for name, value in facts.items() if value}
    return content


def from_line(line: bytes) -> Line | None:
    """What `to_line` wrote; None where the line is damaged, or of a form that this version does not know."""
    try:
        if not is_intact(line):
            return None
        said = json.loads(line)
        if said["v"] != _FORMAT:
            return None
        if "log" in said or "forget" in said:
            name = said["log"] if "log" in said else said["forget"]
            if not (isinstance(name, str) and name):
                return None
            return Head(name) if "log" in said else Forgotten(name, float(said.get("received", 0.0)))
        if type(said["liked"]) is not bool or type(said["time"]) is not int:
            return None
        texts = said["id"], said["user"], said["item"]
        if not all(isinstance(text, str) and text for text in texts):
            return None
        # A log names users and items again and again; kept once, they are half of what a line takes.
        texts = texts[0], sys.intern(texts[1]), sys.intern(texts[2])
        facts = said.get("facts")
        item = None
        if facts is not None:
            lists = {name: tuple(facts.get(name, ())) for name in ("genres", "creators", "keywords")}
            item = Item(said["item"], facts.get("title") or said["item"], facts.get("year"), **lists)
        return Feedback(*texts, said["liked"], said["time"], said.get("request"), item, float(said.get("received", 0.0)))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
