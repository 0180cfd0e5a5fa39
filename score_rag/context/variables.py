"""What a prompt for the question may declare, and what each variable holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from score_rag.context.evidence import KINDS
from score_rag.context.levels import Fact
from score_rag.context.neighbours import Neighbour
from score_rag.data.log import Item
from score_rag.errors import PromptError, did_you_mean
from score_rag.prompts import Prompt

__all__ = ["PREDICT_VARIABLES", "Facts", "Told", "check_predict_prompt", "example_values"]

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
    """Fill a prompt in with made-up values.

    Args:
        experts: Names that `expectation` has.

    Raises:
        PromptError: It declares what no question has, or uses an attribute that a variable has not.
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
    values = example_values(experts)
    prompt.render(**{name: values[name] for name in prompt.variables})


def example_values(experts: Sequence[str]) -> dict[str, Any]:
    """Made-up values of all variables of a prompt for the question."""
    item = Item("1", "Heat", 1995, ("Crime",), ("Michael Mann",), ("heist",))
    fact = Fact("good", "71", 0.71)
    facts: dict[str, Any] = {kind: dict.fromkeys(experts, fact) if kind == "expectation" else fact for kind in KINDS}
    other = Neighbour("7", "Liked: Ronin (1998).", "liked", 0.8, fact, (item,), (item,), (item,))
    return {"history": [Told(item, True, facts)], "neighbours": [other], "target": item, **facts}
