"""A history that somebody types: names of items, a minus before what was disliked."""

from __future__ import annotations

from collections.abc import Iterable

from score_rag.data.log import Event, Item
from score_rag.errors import InputError, did_you_mean

__all__ = ["parse_history"]


def parse_history(text: str, catalogue: Iterable[Item], *, when: int) -> list[Event]:
    """Events from names separated by semicolons; a name after a minus was disliked: `Heat (1995); -Grease (1978)`.

    A name is an item's full name, its title alone where only one item has it, or its id.

    Raises:
        InputError: Names that are not in the catalogue, all at once.
    """
    by_name: dict[str, list[Item]] = {}
    for item in catalogue:
        for name in {item.name.casefold(), item.title.casefold(), item.item_id}:
            by_name.setdefault(name, []).append(item)
    events, unknown = [], []
    for part in (part.strip() for part in text.split(";")):
        if not part:
            continue
        name = part.removeprefix("-").strip()
        found = by_name.get(name.casefold(), [])
        exact = [item for item in found if item.name.casefold() == name.casefold()] or found
        if len(exact) == 1:
            events.append(Event("", exact[0].item_id, not part.startswith("-"), when))
        else:
            unknown.append((name, [item.name for item in exact]))
    if unknown:
        names = {item.name for items in by_name.values() for item in items}
        hints = [
            f"{name!r}: " + (f"one of {', '.join(several[:4])}?" if several else did_you_mean(name, names, show=0))
            for name, several in unknown
        ]
        raise InputError(
            "these names in the history are not in the catalogue", found=", ".join(n for n, _ in unknown), hint="; ".join(hints)
        )
    if not events:
        raise InputError("the history is empty", expected='names separated by semicolons: "Heat (1995); -Grease (1978)"')
    return events
