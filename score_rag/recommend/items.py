"""An item as a caller names it: by id, by name, by title; what is not there is answered with what comes near."""

from __future__ import annotations

from collections.abc import Mapping

from score_rag.data.log import Item
from score_rag.errors import InputError, did_you_mean

__all__ = ["find_item"]


def find_item(catalogue: Mapping[str, Item], name: str) -> Item:
    """The item that is meant by an id, a name (`Heat (1995)`) or a title that only one item has.

    Raises:
        InputError: There is no such item, or several are called so.
    """
    if name in catalogue:
        return catalogue[name]
    wanted = name.casefold()
    matches = [item for item in catalogue.values() if item.name.casefold() == wanted]
    matches = matches or [item for item in catalogue.values() if item.title.casefold() == wanted]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise InputError(
            f"several items are called {name!r}",
            expected="an id or a whole name",
            found=", ".join(f"{item.item_id}: {item.name}" for item in matches[:5]),
        )
    names = [*(item.name for item in catalogue.values()), *catalogue]
    part = [item.name for item in catalogue.values() if wanted in item.title.casefold()]
    near = f"did you mean {part[0]!r}?" if part else did_you_mean(name, names, show=0)
    raise InputError(
        f"there is no item {name!r}",
        expected=f"the id or name of one of {len(catalogue):,} items",
        hint=f'{near}; by id or by name: --item {next(iter(catalogue))}, or --item "{names[0]}"',
    )
