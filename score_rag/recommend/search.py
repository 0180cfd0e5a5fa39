"""Items found by words: by id, by name, by a part of a name, by genre or maker; and by what nearly is one of those."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from score_rag.data.log import Item
from score_rag.recommend.names import fold, item_names

__all__ = ["search_items"]


def search_items(catalogue: Mapping[str, Item], words: str, *, most: int = 10) -> list[Item]:
    """The items that are called so or told of so, best first.

    What `find_item` would find comes first, then names that begin with the words, names that hold all of them, items whose genres, makers
    or keywords hold them, and, where there is none of these, names that are spelled nearly so. Ties are in the catalogue's order.

    Args:
        words: An id, a name or words; empty words find nothing.
        most: How many to return.
    """
    asked = fold(words)
    if not asked:
        return []
    found: dict[str, Item] = {item.item_id: item for item in item_names(catalogue).find(words).items}
    parts = asked.split()
    ranked: list[tuple[int, Item]] = []
    # A copy: another thread may take in an item that is new.
    every = list(catalogue.values())
    for item in every:
        name = fold(item.name)
        if name.startswith(asked):
            ranked.append((0, item))
        elif all(part in name for part in parts):
            ranked.append((1, item))
        else:
            told = f"{name} {fold(' '.join((*item.genres, *item.creators, *item.keywords)))}"
            if all(part in told for part in parts):
                ranked.append((2, item))
    found |= {item.item_id: item for _, item in sorted(ranked, key=lambda one: one[0])}
    if not found:
        names = {fold(item.title): item for item in every}
        found = {names[name].item_id: names[name] for name in difflib.get_close_matches(asked, names, n=most, cutoff=0.6)}
    return list(found.values())[:most]
