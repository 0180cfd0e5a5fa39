"""How strong a user's preference is where a question asks: how one-sided their earlier judgements of items like it are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from score_rag.data.log import Event, Item

__all__ = ["preference_strength"]

_PRIOR = 2.0
"""Judgements of neither kind that are added, so that one judgement alone is no strong preference."""


def preference_strength(earlier: Sequence[Event], item_id: str, catalogue: Mapping[str, Item]) -> float:
    """|likes - dislikes| / (judgements + 2) among a user's earlier judgements of items that share a genre with the item; 0 to 1.

    Where the item has no genres, all earlier judgements count.

    Args:
        earlier: What the user judged before.
        item_id: The item in question.
        catalogue: Items by id.

    >>> films = {name: Item(name, name, genres=(genre,)) for name, genre in (("a", "Noir"), ("b", "Noir"), ("c", "War"), ("d", "Noir"))}
    >>> seen = [Event("u", "a", True, 1), Event("u", "b", True, 2), Event("u", "c", False, 3)]
    >>> preference_strength(seen, "d", films), preference_strength(seen, "c", films)
    (0.5, 0.3333333333333333)
    """
    wanted = set(catalogue[item_id].genres)
    said = [event.liked for event in earlier if not wanted or wanted & set(catalogue[event.item_id].genres)]
    return abs(2 * sum(said) - len(said)) / (len(said) + _PRIOR)
