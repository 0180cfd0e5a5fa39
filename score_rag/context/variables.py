"""What a prompt for the question may declare, and what each variable holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from score_rag.context.evidence import KINDS
from score_rag.context.levels import UNKNOWN, Fact
from score_rag.context.neighbours import Neighbour
from score_rag.data.log import Item
from score_rag.errors import PromptError, did_you_mean
from score_rag.prompts import Prompt

__all__ = ["PREDICT_VARIABLES", "Facts", "Told", "check_predict_prompt", "empty_values", "example_values"]

Facts = Mapping[str, Any]
"""By kind: a `Fact`; for `expectation` a mapping of recommenders to facts."""

PREDICT_VARIABLES = frozenset({"history", "neighbours", "target", *KINDS})
"""What a prompt for the question may declare; each is computed only where it is."""


@dataclass(frozen=True)
class Told:
    """One line of history, as prompts see it: `item`, `liked`, and what was known before it, by kind (`event.mood`, ...)."""

    item: Item
    liked: bool
    facts: Facts = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        if name in KINDS and name in self.facts:
            return self.facts[name]
        raise AttributeError(name)


def check_predict_prompt(prompt: Prompt, experts: Sequence[str]) -> None:
    """Fill a prompt in with made-up values: of a question of which everything is known, and of one of which nothing is.

    Args:
        experts: Names that `expectation` has.

    Raises:
        PromptError: It declares what no question has, uses an attribute that a variable has not, or reads the same whatever the item.
    """
    strangers = sorted(set(prompt.variables) - PREDICT_VARIABLES)
    if strangers:
        raise PromptError(
            f"prompt {prompt.name!r} declares unknown variables: {', '.join(strangers)}",
            where=prompt.path,
            expected=", ".join(sorted(PREDICT_VARIABLES)),
            found=", ".join(sorted(prompt.variables)),
            hint=did_you_mean(strangers[0], PREDICT_VARIABLES),
        )
    said = [
        prompt.render(**{name: values[name] for name in prompt.variables})
        for values in (example_values(experts), {**example_values(experts), "target": _OTHER}, empty_values(experts))
    ]
    if said[0] == said[1]:
        raise PromptError(
            f"prompt {prompt.name!r} never names the item in question",
            where=prompt.path,
            expected="{{ target.name }}, or another of its attributes",
        )


_ITEM = Item("1", "Heat", 1995, ("Crime",), ("Michael Mann",), ("heist",))
_OTHER = Item("2", "Alien", 1979, ("Horror",), ("Ridley Scott",), ("space",))


def empty_values(experts: Sequence[str]) -> dict[str, Any]:
    """Values of a question of which nothing is known but the item's title."""
    facts: dict[str, Any] = {kind: dict.fromkeys(experts, UNKNOWN) if kind == "expectation" else UNKNOWN for kind in KINDS}
    return {"history": [], "neighbours": [], "target": Item("3", "Nameless"), **facts}


def example_values(experts: Sequence[str]) -> dict[str, Any]:
    """Made-up values of all variables of a prompt for the question."""
    item = _ITEM
    fact = Fact("good", "71", 0.71)
    facts: dict[str, Any] = {kind: dict.fromkeys(experts, fact) if kind == "expectation" else fact for kind in KINDS}
    other = Neighbour("7", "Liked: Ronin (1998).", "liked", 0.8, fact, (item,), (item,), (item,))
    return {"history": [Told(item, True, facts)], "neighbours": [other], "target": item, **facts}
