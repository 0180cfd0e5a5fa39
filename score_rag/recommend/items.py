"""An item as a caller names it: by id, by name, by title; what is not there is answered with what comes near."""

from __future__ import annotations

from collections.abc import Mapping

from score_rag.data.log import Item
from score_rag.errors import InputError, did_you_mean
from score_rag.recommend.names import item_names, unquoted

__all__ = ["find_item", "find_noted_item"]


def find_item(catalogue: Mapping[str, Item], name: str) -> Item:
    """The item that is meant by an id, a name (`Heat (1995)`) or a title that only one item has; see `score_rag.recommend.names`.

    Raises:
        InputError: There is no such item, or several are called so.
    """
    return find_noted_item(catalogue, name)[0]


def find_noted_item(catalogue: Mapping[str, Item], name: str) -> tuple[Item, str]:
    """`find_item`, and what else the name could have meant; an empty text where nothing."""
    match = item_names(catalogue).find(name)
    if match.item is not None:
        return match.item, match.note
    if match.items:
        raise InputError(
            f"several items are called {name!r}",
            expected="an id or a whole name",
            found=", ".join(f"{item.item_id}: {item.name}" for item in match.items[:5]),
        )
    wanted = unquoted(name)[0].casefold()
    # Copies: another thread may take in an item that is new.
    every = list(catalogue.values())
    names = [*(item.name for item in every), *list(catalogue)]
    part = [item.name for item in every if wanted in item.title.casefold()]
    near = f"did you mean {part[0]!r}?" if part else did_you_mean(name, names, show=0)
    raise InputError(
        f"there is no item {name!r}",
        expected=f"the id or name of one of {len(catalogue):,} items",
        hint=f'{near}; by id or by name: --item {next(iter(catalogue))}, or --item "{names[0]}"',
    )
