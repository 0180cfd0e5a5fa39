"""A prompt for assessments, filled in before anything depends on it."""

from __future__ import annotations

from score_rag.errors import PromptError
from score_rag.prompts import Prompt

__all__ = ["ASSESS_VARIABLES", "check_assess_prompt"]

ASSESS_VARIABLES = frozenset({"history", "target"})
"""What a prompt for assessments declares; both are texts."""


def check_assess_prompt(prompt: Prompt) -> None:
    """Fill a prompt in with made-up texts.

    Raises:
        PromptError: It declares something else, uses them as more than texts, or leaves one of them out.
    """
    if set(prompt.variables) != ASSESS_VARIABLES:
        raise PromptError(
            f"prompt {prompt.name!r} declares other variables than a question to the assessor has",
            where=prompt.path,
            expected=", ".join(sorted(ASSESS_VARIABLES)),
            found=", ".join(sorted(prompt.variables)) or "none",
        )
    full, other, empty = (
        prompt.render(history=history, target=target)
        for history, target in (("Liked: Heat.", "Ronin (1998)."), ("Liked: Heat.", "Alien (1979)."), ("", "Ronin (1998)."))
    )
    for same, what in ((full == other, "names the item in question"), (full == empty, "tells what the user did")):
        if same:
            raise PromptError(f"prompt {prompt.name!r} never {what}", where=prompt.path, expected="{{ history }} and {{ target }}")
