"""A user's behaviour, told in words: what CAR embeds, what SARE reads, and what a prompt says of other users.

A user has several documents, one for each few more events. At any moment exactly one of them is visible, the newest that tells only
of earlier events; so one index serves training (where every example has its own "now") and serving (where now is now).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import polars as pl

from score_rag.data.log import Event, Item, UserLog
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

    def __init__(self, prompt: Prompt, catalogue: Mapping[str, Item], *, max_liked: int = 10, max_disliked: int = 5) -> None:
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
        genres = [item.genres for item in liked], [item.genres for item in disliked]
        decades = [(item.decade,) for item in liked], [(item.decade,) for item in disliked]
        text = self.prompt.render(
            liked=liked[: self.max_liked],
            disliked=disliked[: self.max_disliked],
            genres=_distinctive(*genres, 3),
            decades=_distinctive(*decades, 2),
            avoided=_distinctive(*genres, 2, -1),
        )
        return text.strip()


def _distinctive(liked: Sequence[Sequence[str]], disliked: Sequence[Sequence[str]], count: int, sign: int = 1) -> list[str]:
    """Words of items that this user likes clearly more often (`sign` 1) or less often (-1) than the user likes items in general.

    By how many standard errors a word's like-rate lies off the user's own; at least 1.
    """
    likes = Counter(word for words in liked for word in dict.fromkeys(words) if word)
    every = likes + Counter(word for words in disliked for word in dict.fromkeys(words) if word)
    # One judgement of each kind is added, so that a user who liked everything still has a rate to differ from.
    rate = (len(liked) + 1) / (len(liked) + len(disliked) + 2)
    off = {word: sign * (likes[word] - rate * times) / math.sqrt(times * rate * (1 - rate)) for word, times in every.items()}
    best = sorted((word for word in off if off[word] >= 1.0), key=lambda word: -off[word])
    return best[:count]


def build_documents(
    log: UserLog, describer: Describer, *, every: int = 10, sparser_after: int = 6, report: Report = silent
) -> pl.DataFrame:
    """Documents of every user, in versions.

    Args:
        log: The events that may be told (training events).
        describer: Says them.
        every: A version is written each time so many more events are known; the first, after a quarter of that.
        sparser_after: From so many times `every` events on, a version is written only when the history has grown by that share (of 6: 1/6).
            What is written when never depends on what follows: how stale a document is must not tell how much its user went on to do.

    Returns:
        A frame with `DOCUMENT_COLUMNS`. A document is visible at `as_of` iff `known_until < as_of <= superseded_at`.
    """
    rows = []
    last_second = max((log.of(user_id)[-1].timestamp for user_id in log.users), default=0)
    for done, user_id in enumerate(log.users, start=1):
        events = log.of(user_id)
        # A version may not end inside a second: its other events would become known a version later, yet are as old.
        ends = [end for end in range(1, len(events) + 1) if end == len(events) or events[end].timestamp > events[end - 1].timestamp]
        told: list[tuple[int, int]] = []
        last = 0
        for end in ends:
            if end - last >= max(every if last else (every + 3) // 4, last // sparser_after):
                told.append((end, events[end - 1].timestamp))
                last = end
        if last < len(events):
            # That nothing follows is known only when the log ends; until then the version before stands.
            told.append((len(events), last_second))
        for version, (end, known_until) in enumerate(told):
            rows.append(
                {
                    "document_id": f"{user_id}@{version}",
                    "user_id": user_id,
                    "text": describer.describe(events[:end]),
                    "events": end,
                    "known_until": known_until,
                    "superseded_at": told[version + 1][1] if version + 1 < len(told) else FOREVER,
                }
            )
        if done % 200 == 0 or done == len(log):
            report("telling behaviour", done, len(log))
    return pl.DataFrame(rows, schema=DOCUMENT_COLUMNS)
