"""Which column of a file is which: by its name, and where that says nothing, by what is in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from score_rag.data.guess_times import guess_time_format, is_time
from score_rag.data.sniff import Sniffed, is_number

__all__ = ["Columns", "guess_columns"]

_IDS = (
    "itemid", "iid", "productid", "sku", "movieid", "bookid", "isbn", "parentasin", "asin", "artistid", "trackid", "songid", "gameid",
    "animeid", "filmid", "newsid", "articleid", "recipeid", "businessid",
)  # fmt: skip
_THINGS = ("item", "product", "movie", "book", "artist", "track", "song", "game", "anime", "film", "news", "article", "recipe", "business")
_EVENT_WORDS = {
    "user_id": ("userid", "user", "users", "uid", "customerid", "customer", "reviewerid", "memberid", "member", "visitorid", "accountid",
                "account", "person", "username", "buyer", "clientid", "client", "readerid", "reader"),
    "item_id": (*_IDS, *_THINGS),
    "rating": ("rating", "ratings", "stars", "star", "score", "overall", "grade", "myrating", "bookrating", "reviewscore"),
    "label": ("label", "liked", "like", "click", "clicked", "target"),
    "timestamp": ("timestamp", "time", "date", "datetime", "createdat", "boughtat", "unixreviewtime", "reviewtime", "eventtime", "ts",
                  "when", "orderdate", "orderedat", "purchasedate", "purchasedat"),
    "split": ("split",),
}  # fmt: skip
_ITEM_WORDS = {
    "item_id": (*_IDS, "id", *_THINGS),
    "title": ("title", "name", "movietitle", "booktitle", "productname", "itemname", "producttitle", "originaltitle", "englishname"),
    "year": ("year", "releaseyear", "yearofpublication", "originalpublicationyear", "publicationyear"),
    "genres": (
        "genres",
        "genre",
        "categories",
        "category",
        "departments",
        "department",
        "tags",
        "class",
        "shelf",
        "shelves",
        "bookshelves",
        "subjects",
        "topics",
        "topic",
    ),
    "creators": ("creators", "creator", "authors", "author", "director", "directors", "artist", "artists", "brand", "store", "bookauthor"),
    "keywords": ("keywords", "keyword"),
}
_LISTS = ("genres", "creators", "keywords")
_LABELS = {"like": 1, "liked": 1, "yes": 1, "y": 1, "1": 1, "positive": 1, "dislike": 0, "disliked": 0, "no": 0, "n": 0, "-1": 0, "0": 0,
           "negative": 0}  # fmt: skip


@dataclass(frozen=True)
class Columns:
    """What a file's columns seem to be.

    Attributes:
        events: Our names of an event's columns to the file's.
        items: Likewise of an item's.
        settings: Settings of `data` that follow for a file of events: threshold, negatives, split, time_format.
        list_separator: Between words in a cell, where it is not a bar.
        said: What was assumed of events.
        item_notes: What was assumed of items.
    """

    events: dict[str, str]
    items: dict[str, str]
    settings: dict[str, Any] = field(default_factory=dict)
    list_separator: str | None = None
    said: list[str] = field(default_factory=list)
    item_notes: list[str] = field(default_factory=list)


def guess_columns(found: Sniffed) -> Columns:
    """Which column is which."""
    events = _by_name(found, _EVENT_WORDS)
    items = _by_name(found, _ITEM_WORDS)
    said: list[str] = []
    named = {"user_id", "item_id"} & events.keys()
    if not found.header or len(named) == 1:
        _by_content(found, events, said)
        events = {ours: events[ours] for ours in _EVENT_WORDS if ours in events}
    if {"user_id", "item_id"} <= events.keys() and "timestamp" not in events:
        _time_by_content(found, events, said)
    if not found.header and "title" not in items:
        _items_by_content(found, items)
    labels = _labels(found, events, said)
    if "label" in events:
        events.pop("rating", None)
    said += [f"{found.file.name}: {ours} is {_called(found, theirs)}" for ours, theirs in events.items()]
    notes = [f"{found.file.name}: {ours} is {_called(found, theirs)}" for ours, theirs in items.items()]
    _say_unused(found, events, said)
    _say_unused(found, items, notes)
    separator = _list_separator(found, items)
    if separator:
        notes.append(f"{found.file.name}: words in one cell are separated by {separator!r}")
    settings = _settings(found, events, said) | ({"labels": labels} if labels else {})
    return Columns(events, items, settings, separator, said, notes)


def _labels(found: Sniffed, events: dict[str, str], said: list[str]) -> dict[str, int]:
    """What words in the column of labels mean, where they are not 0 and 1; a column of other words is no column of labels."""
    words = sorted(set(found.cells(events["label"]))) if "label" in events else []
    if all(word.lower() in ("0", "1", "0.0", "1.0", "true", "false") for word in words):
        return {}
    if all(word.lower() in _LABELS for word in words):
        told = {word: _LABELS[word.lower()] for word in words}
        said.append(f"{found.file.name}: {events['label']!r} is read as {told}")
        return told
    said.append(f"{found.file.name}: {events.pop('label')!r} holds {', '.join(words[:4])}, not 0 and 1: left out; see data.labels")
    return {}


def _say_unused(found: Sniffed, used: dict[str, str], said: list[str]) -> None:
    left = [repr(name) for name in found.names if name not in used.values()] if found.header else []
    if left:
        shown = ", ".join(left[:6]) + (f" and {len(left) - 6} more" if len(left) > 6 else "")
        said.append(f"{found.file.name}: not used: {shown}")


def _called(found: Sniffed, theirs: str) -> str:
    return repr(theirs) if found.header else f"column {theirs}"


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.split(":")[0].lower())


def _by_name(found: Sniffed, words: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """Our names to theirs: the name itself first, then the known words in their order; a column is used once."""
    if not found.header:
        return {}
    out: dict[str, str] = {}
    for ours, known in words.items():
        free = [name for name in found.names if name not in out.values()]
        for word in (_plain(ours), *known):
            match = next((name for name in free if _plain(name) == word), None)
            if match is not None:
                out[ours] = match
                break
    return out


def _by_content(found: Sniffed, events: dict[str, str], said: list[str]) -> None:
    """Of columns that no name tells: times look like times, ratings have few values, and ids of users and items recur."""
    if "timestamp" not in events:
        _time_by_content(found, events, [])
    # Who, what, how much: ratings stand behind the ids, and ids may be as few as ratings.
    free = [name for name in found.names if name not in events.values() and found.cells(name)]
    behind = free[max(0, 2 - len({"user_id", "item_id"} & events.keys())) :]
    rated = next((name for name in reversed(behind) if _is_rating(found.cells(name))), None)
    if rated is not None and not {"rating", "label"} & events.keys():
        events["label" if set(found.cells(rated)) <= {"0", "1"} else "rating"] = rated
        free.remove(rated)
    # Somebody has judged several items, and an item was judged by several: values recur. The user comes first nearly everywhere.
    ids = [name for name in free if len(set(found.cells(name))) < len(found.cells(name)) or not found.header]
    wanted = [ours for ours in ("user_id", "item_id") if ours not in events]
    if len(ids) >= len(wanted):
        for ours, name in zip(wanted, ids, strict=False):
            events[ours] = name
            if found.header:
                said.append(f"{found.file.name}: no name says so, but {_called(found, name)} recurs: taken for {ours}")


def _time_by_content(found: Sniffed, events: dict[str, str], said: list[str]) -> None:
    for name in found.names:
        cells = found.cells(name) if name not in events.values() else []
        if cells and all(is_time(cell) for cell in cells):
            events["timestamp"] = name
            said.append(f"{found.file.name}: no name says so, but {_called(found, name)} holds times: taken for timestamp")
            return


def _items_by_content(found: Sniffed, items: dict[str, str]) -> None:
    """Ids are all different; a title is the first column of words."""
    for name in found.names:
        cells = found.cells(name)
        if cells and "item_id" not in items and len(set(cells)) == len(cells):
            items["item_id"] = name
        elif cells and "item_id" in items and sum(any(sign.isalpha() for sign in cell) for cell in cells) > len(cells) / 2:
            items["title"] = name
            return


def _is_rating(cells: Sequence[str]) -> bool:
    return all(is_number(cell) and 0 <= float(cell) <= 100 for cell in cells) and len(set(cells)) <= min(21, max(5, len(cells) // 2))


def _settings(found: Sniffed, events: dict[str, str], said: list[str]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if "rating" in events:
        numbers = [float(cell) for cell in found.cells(events["rating"]) if is_number(cell)]
        most = max(numbers, default=5.0)
        least = 4.0 if most == 5 else 1.0 if most <= 1 else round(0.7 * most, 2)
        if least != 4.0:
            out["threshold"] = least
        said.append(f"{found.file.name}: ratings go up to {most:g}: from {least:g} upward they count as liked (threshold)")
    elif "label" not in events:
        out["negatives"] = 1
        said.append(f"{found.file.name}: neither ratings nor labels: each row is a like, and one negative is sampled for it")
    if "timestamp" in events:
        form = guess_time_format(found.cells(events["timestamp"]), found, said)
        if form:
            out["time_format"] = form
    else:
        out["split"] = "leave-last-out"
        said.append(f"{found.file.name}: no times: a user's rows are taken to be in order, and the last ones are held out")
    if "split" in events:
        out["split"] = "column"
    return out


def _list_separator(found: Sniffed, items: dict[str, str]) -> str | None:
    for ours in _LISTS[:1]:
        if ours in items and found.form == "delimited":
            cells = found.cells(items[ours])
            shares = {sign: sum(sign in cell for cell in cells) for sign in ("|", ";", ", ", ",", "/")}
            best = max(shares, key=lambda sign: shares[sign])
            if shares[best] and best != "|":
                return best
    return None
