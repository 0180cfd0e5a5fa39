"""What a name means: the one rule by which items are found, wherever somebody names one.

An id comes first, then a whole name (`Heat (1995)`), then a title that only one item has. Capitals, spaces, accents written in one sign or
in two, and an article behind a comma make no difference. In double quotes, a name is never an id.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import polars as pl

from score_rag.data.log import Item, UserLog
from score_rag.data.titles import clean_titles

__all__ = ["ItemNames", "Match", "find_user", "item_names", "unquoted"]


class Match(NamedTuple):
    """What a name may mean.

    Attributes:
        items: One item where it is clear, several where it is not, none where nothing is called so.
        note: What else it could have meant; empty where nothing.
    """

    items: tuple[Item, ...]
    note: str = ""

    @property
    def item(self) -> Item | None:
        """The item, where it is clear which."""
        return self.items[0] if len(self.items) == 1 else None


class ItemNames:
    """The names of a catalogue.

    Args:
        items: Its items.
    """

    def __init__(self, items: Iterable[Item]) -> None:
        listed = list(items)
        self.ids = {item.item_id: item for item in listed}
        self._folded_ids = _by_key((fold(item.item_id), item) for item in listed)
        self._names = _by_key((fold(item.name), item) for item in listed)
        self._titles = _by_key((fold(item.title), item) for item in listed)
        # A catalogue may hold `Sting, The`, while somebody asks for `The Sting`; the other way round is `find`'s.
        turned = clean_titles(pl.Series([item.title for item in listed], dtype=pl.String))[0].to_list() if listed else []
        for title, item in zip(turned, listed, strict=True):
            if title is not None and title != item.title:
                year = "" if item.year is None else f" ({item.year})"
                self._names.setdefault(fold(title + year), (item,))
                self._titles.setdefault(fold(title), (item,))

    def find(self, name: str) -> Match:
        """What a name means."""
        bare, quoted = unquoted(name)
        called = self._called(bare)
        if quoted:
            return Match(called or self._called(name.strip()))
        known = self.ids.get(name) or self.ids.get(bare)
        if known is None:
            alike = self._folded_ids.get(fold(bare), ())
            return Match(called or (alike if len(alike) == 1 else ()))
        others = [item for item in called if item is not known]
        return Match((known,), _shadow(bare, known, others) if others else "")

    def _called(self, name: str) -> tuple[Item, ...]:
        key = fold(name)
        found = self._names.get(key) or self._titles.get(key)
        if found is None and "," in name:
            titles, years = clean_titles(pl.Series([name]))
            key = fold(titles[0] if years[0] is None else f"{titles[0]} ({years[0]})")
            found = self._names.get(key) or self._titles.get(key)
        return found or ()


def _shadow(name: str, known: Item, others: list[Item]) -> str:
    also = ", ".join(f"{item.name} (id {item.item_id})" for item in others[:3])
    return f"{name!r} was read as the id of {known.name}; {also} is called so too: in double quotes it is a name"


def fold(name: str) -> str:
    """A name without what does not tell items apart.

    >>> fold("AME\u0301LIE  (2001)") == fold("Amélie (2001)")
    True
    """
    if name.isascii():
        return " ".join(name.casefold().split())
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).split())


def unquoted(name: str) -> tuple[str, bool]:
    """A name without the quotes around it, and whether there were any; a doubled quote inside stands for one.

    >>> unquoted('"Per Gessle; Roxette"')
    ('Per Gessle; Roxette', True)
    >>> unquoted('"Great Performances" Cats (1998)')
    ('"Great Performances" Cats (1998)', False)
    """
    text = name.strip()
    inside = text[1:-1].replace('""', "")
    if len(text) > 2 and text[0] == text[-1] == '"' and '"' not in inside:
        return text[1:-1].replace('""', '"').strip(), True
    return text, False


def _by_key(pairs: Iterable[tuple[str, Item]]) -> dict[str, tuple[Item, ...]]:
    out: dict[str, tuple[Item, ...]] = {}
    for key, item in pairs:
        out[key] = (*out.get(key, ()), item)
    return out


_latest: tuple[Mapping[str, Item], ItemNames] | None = None


def item_names(catalogue: Mapping[str, Item]) -> ItemNames:
    """The names of a catalogue, gathered once for the catalogue that was asked about last."""
    global _latest
    kept = _latest
    if kept is None or kept[0] is not catalogue or len(kept[1].ids) != len(catalogue):
        kept = _latest = (catalogue, ItemNames(catalogue.values()))
    return kept[1]


def find_user(log: UserLog, user_id: str) -> str:
    """The id of a user, whose accents may be written in one sign or in two; what is unknown comes back as it is."""
    if user_id in log or user_id.isascii():
        return user_id
    alike = [known for known in log.users if unicodedata.normalize("NFC", known) == unicodedata.normalize("NFC", user_id)]
    return alike[0] if len(alike) == 1 else user_id
