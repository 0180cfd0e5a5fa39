"""A question asked again without one part of what it is told: the same prompt, filled in with one value fewer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from score_rag.context.levels import UNKNOWN
from score_rag.data.log import Item

__all__ = ["leave_out"]


def leave_out(values: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """The values of a prompt without one segment; None for the instructions, without which it is another question.

    A neighbour and the history are gone, as if there were none; evidence is called unknown, and the item in question has no name and no
    attributes, as the model has seen in training. All else is as it was: nothing moves up into the room that is left.

    Args:
        values: What the prompt was filled in with.
        name: Of the segment.

    >>> leave_out({"history": [1, 2]}, "history"), leave_out({}, "instructions")
    ({'history': []}, None)
    """
    kind, _, rest = name.partition(" ")
    if kind == "neighbour":
        return {**values, "neighbours": [one for place, one in enumerate(values["neighbours"], start=1) if place != int(rest)]}
    if name in ("neighbours", "history"):
        return {**values, name: []}
    if name == "target":
        target: Item = values["target"]
        return {**values, "target": replace(target, title="", year=None, genres=(), creators=(), keywords=())}
    kind, _, expert = name.partition(".")
    if kind not in values:
        return None
    if expert:
        return {**values, kind: {**values[kind], expert: UNKNOWN}}
    if isinstance(values[kind], Mapping):
        return {**values, kind: dict.fromkeys(values[kind], UNKNOWN)}
    return {**values, kind: UNKNOWN}
