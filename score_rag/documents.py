"""A user's behaviour, told in words: what CAR embeds, what SARE reads, and what a prompt says of other users.

A user has several documents, one for each few more events. At any moment exactly one of them is visible, the newest that tells only
of earlier events; so one index serves training (where every example has its own "now") and serving (where now is now).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import polars as pl

from score_rag.data.interactions import Event, Item, UserLog
from score_rag.progress import Report, silent
from score_rag.prompts import Prompt

__all__ = ["DOCUMENT_COLUMNS", "FOREVER", "Describer", "build_documents", "describe_item"]

FOREVER = 2**53 - 1
"""`superseded_at` of a user's newest document: the largest integer that JSON and Chroma keep exactly."""

DOCUMENT_COLUMNS = {
    "document_id": pl.String(),
    "user_id": pl.String(),
    "text": pl.String(),
    "events": pl.Int64(),
    "known_until": pl.Int64(),
    "superseded_at": pl.Int64(),
}


def describe_item(item: Item) -> str:
    """One item in a line: name, genres, creators, keywords, as far as they are known.

    >>> describe_item(Item("1", "Heat", 1995, ("Crime",), ("Michael Mann",), ("heist",)))
    'Heat (1995). Crime. By Michael Mann. heist.'
    """
    creators = f"By {', '.join(item.creators)}" if item.creators else ""
    parts = [item.name, ", ".join(item.genres), creators, ", ".join(item.keywords)]
    return ". ".join(part for part in parts if part) + "."


class Describer:
    """The paper's d(H(u)): events in, a text out.

    Args:
        prompt: A prompt with the variables of `describe_user.md`.
        catalogue: Items by id.
        max_liked: How many liked items are told, most recent first.
        max_disliked: How many disliked items are told, most recent first.
    """

    def __init__(self, prompt: Prompt, catalogue: Mapping[str, Item], *, max_liked: int = 8, max_disliked: int = 4) -> None:
        self.prompt = prompt
        self.catalogue = catalogue
        self.max_liked = max_liked
        self.max_disliked = max_disliked

    def describe(self, history: Sequence[Event]) -> str:
        """The text for a history (oldest first); an empty history gives an empty text."""
        if not history:
            return ""
        latest: dict[str, bool] = {}
        for event in reversed(history):
            latest.setdefault(event.item_id, event.liked)
        liked = [self.catalogue[item_id] for item_id, was_liked in latest.items() if was_liked]
        disliked = [self.catalogue[item_id] for item_id, was_liked in latest.items() if not was_liked]
        text = self.prompt.render(
            liked=liked[: self.max_liked],
            disliked=disliked[: self.max_disliked],
            genres=_favourites([item.genres for item in liked], [item.genres for item in disliked], 3),
            decades=_favourites([(item.decade,) for item in liked], [(item.decade,) for item in disliked], 2),
        )
        return text.strip()


def _favourites(liked: Sequence[Sequence[str]], disliked: Sequence[Sequence[str]], count: int) -> list[str]:
    """Words that occur most often more among liked than among disliked items; ties go to the word met first."""
    balance: Counter[str] = Counter()
    for words, sign in [(words, 1) for words in liked] + [(words, -1) for words in disliked]:
        balance.update({word: sign for word in words if word})
    order = {word: place for place, word in enumerate(balance)}
    best = sorted((word for word in balance if balance[word] > 0), key=lambda word: (-balance[word], order[word]))
    return best[:count]


def build_documents(
    log: UserLog, describer: Describer, *, every: int = 10, max_versions: int = 6, report: Report = silent
) -> pl.DataFrame:
    """Documents of every user, in versions.

    Args:
        log: The events that may be told (training events).
        describer: Says them.
        every: A version is written each time so many more events are known (and for the last one).
        max_versions: Keep the newest so many versions of a user, beside the first.

    Returns:
        A frame with `DOCUMENT_COLUMNS`. A document is visible at `as_of` iff `known_until < as_of <= superseded_at`.
    """
    rows = []
    for done, user_id in enumerate(log.users, start=1):
        events = log.of(user_id)
        # A version may not end inside a second: its other events would become known a version later, yet are as old.
        ends = [end for end in range(1, len(events) + 1) if end == len(events) or events[end].timestamp > events[end - 1].timestamp]
        told, last = [], 0
        for end in ends:
            if end - last >= every or end == len(events):
                told.append(end)
                last = end
        if len(told) > max_versions + 1:
            told = told[:1] + told[-max_versions:]
        for version, end in enumerate(told):
            rows.append(
                {
                    "document_id": f"{user_id}@{version}",
                    "user_id": user_id,
                    "text": describer.describe(events[:end]),
                    "events": end,
                    "known_until": events[end - 1].timestamp,
                    "superseded_at": events[told[version + 1] - 1].timestamp if version + 1 < len(told) else FOREVER,
                }
            )
        if done % 200 == 0 or done == len(log):
            report("telling behaviour", done, len(log))
    return pl.DataFrame(rows, schema=DOCUMENT_COLUMNS)
