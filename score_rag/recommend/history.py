"""A history that somebody types: names of items between semicolons, a minus before what was disliked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from score_rag.data.log import Event, Item
from score_rag.errors import InputError, did_you_mean
from score_rag.recommend.names import ItemNames, Match, item_names

__all__ = ["parse_history"]

_EXAMPLE = '"Heat (1995); -Grease (1978)"'
_PART = re.compile(r'\s*(-?\s*"(?:[^"]|"")+"(?=\s*(?:;|$))|[^;]*)\s*(?:;|$)')
"""A name in quotes, or all up to the next semicolon."""
_LONGEST = 8
"""Most parts that a name with semicolons in it has."""


class _Read(NamedTuple):
    typed: str
    liked: bool
    match: Match


def parse_history(text: str, catalogue: Mapping[str, Item] | Iterable[Item], *, when: int, notes: list[str] | None = None) -> list[Event]:
    """Events from names separated by semicolons; a name after a minus was disliked: `Heat (1995); -Grease (1978)`.

    A name is an item's id, its full name, or its title where only one item has it (see `score_rag.recommend.names`). A name that has a
    semicolon of its own is found too; where its parts are items as well, double quotes say what is meant: `"Per Gessle; Roxette"`.

    Args:
        when: The time of all of them.
        notes: Takes what a reader should know of how the names were understood.

    Raises:
        InputError: Names that are not in the catalogue or could mean several items, all at once.
    """
    names = item_names(catalogue) if isinstance(catalogue, Mapping) else ItemNames(catalogue)
    read = _joined([_read(part, names) for part in _parts(text)], names)
    _check(read, names)
    if not read:
        raise InputError("the history is empty", expected=f"names separated by semicolons: {_EXAMPLE}")
    if notes is not None:
        notes += [one.match.note for one in read if one.match.note]
    return [Event("", one.match.items[0].item_id, one.liked, when) for one in read]


def _parts(text: str) -> list[str]:
    return [part for found in _PART.finditer(text) if (part := found.group(1).strip())]


def _read(typed: str, names: ItemNames) -> _Read:
    """One name; a minus is the name's own only where nothing is called so without."""
    if not typed.startswith("-"):
        return _Read(typed, True, names.find(typed))
    match = names.find(typed[1:].strip())
    whole = names.find(typed)
    return _Read(typed, True, whole) if whole.items and not match.items else _Read(typed, False, match)


def _joined(read: list[_Read], names: ItemNames) -> list[_Read]:
    """Names that have semicolons of their own, put together again.

    Raises:
        InputError: Both the whole and its parts are items.
    """
    out: list[_Read] = []
    place = 0
    while place < len(read):
        taken = 1
        one = read[place]
        for end in range(min(len(read), place + _LONGEST), place + 1, -1):
            parts = read[place:end]
            whole = next((found for glue in (";", "; ") if (found := _read(glue.join(p.typed for p in parts), names)).match.items), None)
            if whole is None or any('"' in part.typed for part in parts):
                continue
            if all(part.match.items for part in parts):
                raise InputError(
                    "a history can be read in two ways",
                    where=whole.typed,
                    found=f"one item of this name, and {len(parts)} items of the names in it",
                    hint=f'in double quotes: "{whole.typed.removeprefix("-")}" for the one, '
                    + "; ".join(f'"{part.typed.removeprefix("-")}"' for part in parts)
                    + f" for the {len(parts)}",
                )
            one, taken = whole, len(parts)
            break
        out.append(one)
        place += taken
    return out


def _check(read: list[_Read], names: ItemNames) -> None:
    wrong = [one for one in read if one.match.item is None]
    if not wrong:
        return
    known = {item.name for item in names.ids.values()}
    raise InputError(
        "these names in the history are not in the catalogue",
        expected=f"names or ids separated by semicolons: {_EXAMPLE}",
        found=", ".join(one.typed.removeprefix("-").strip() for one in wrong),
        hint="; ".join(f"{one.typed.removeprefix('-').strip()!r}: {_advice(one, names, known)}" for one in wrong),
    )


def _advice(one: _Read, names: ItemNames, known: set[str]) -> str:
    if one.match.items:
        return f"one of {', '.join(item.name for item in one.match.items[:4])}?"
    name = one.typed.removeprefix("-").strip()
    pieces = [piece.strip() for piece in name.split(",") if piece.strip()]
    if len(pieces) > 1 and any(names.find(piece).items for piece in pieces):
        return f'semicolons separate names, commas do not: "{"; ".join(pieces)}"'
    return did_you_mean(name, known, show=0)
