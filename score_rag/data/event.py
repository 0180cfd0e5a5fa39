"""One judgement, and one item as prompts see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Event", "Item"]


class Event(NamedTuple):
    """One judgement: a user, an item, whether it was liked, and when (seconds since 1970, UTC).

    `row` is its number in the table (-1: in none); `sampled` marks a sampled negative.
    """

    user_id: str
    item_id: str
    liked: bool
    timestamp: int
    row: int = -1
    sampled: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """One row of the catalogue, as prompts see it.

    `name` is the title with its year, as people write it: `Heat (1995)`.
    """

    item_id: str
    title: str
    year: int | None = None
    genres: tuple[str, ...] = ()
    creators: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.title if self.year is None else f"{self.title} ({self.year})"

    @property
    def decade(self) -> str:
        """`1990s`, or an empty text where the year is unknown."""
        return "" if self.year is None else f"{self.year // 10 * 10}s"
