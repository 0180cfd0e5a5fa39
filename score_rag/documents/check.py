"""A prompt for documents, filled in before anything depends on it: with a user of whom much is known, and with one of whom little is."""

from __future__ import annotations

from typing import Any

from score_rag.data.log import Item
from score_rag.documents.describer import DOCUMENT_VARIABLES
from score_rag.errors import PromptError
from score_rag.prompts import Prompt

__all__ = ["check_document_prompt"]

_LISTS_OF_ITEMS = ("liked", "disliked", "latest")
_COUNTS = ("judged", "liked_share")
_KNOWN = Item("1", "Heat", 1995, ("Crime",), ("Michael Mann",), ("heist",))
_OTHER = Item("2", "Alien", 1979, ("Horror",), ("Ridley Scott",), ("space",))
_BARE = Item("3", "Nameless")


def check_document_prompt(prompt: Prompt) -> None:
    """Fill a prompt in with made-up behaviour.

    Raises:
        PromptError: It uses an attribute that a variable has not, or reads the same whatever the user did.
    """
    said = [_filled(prompt, liked, disliked) for liked, disliked in ((_KNOWN, _OTHER), (_OTHER, _KNOWN), (_BARE, None), (None, _BARE))]
    if said[0] == said[1]:
        raise PromptError(
            f"prompt {prompt.name!r} tells nothing of what the user did",
            where=prompt.path,
            expected=f"some of {', '.join(sorted(DOCUMENT_VARIABLES))}",
        )


def _filled(prompt: Prompt, liked: Item | None, disliked: Item | None) -> str:
    items = {"liked": liked, "disliked": disliked, "latest": liked or disliked}
    values: dict[str, Any] = {name: [item] if (item := items[name]) is not None else [] for name in _LISTS_OF_ITEMS}
    first = liked or disliked
    words = [*first.genres, *first.creators] if first is not None else []
    values |= {name: words for name in DOCUMENT_VARIABLES.difference(_LISTS_OF_ITEMS, _COUNTS)}
    values |= {"judged": 1, "liked_share": 100 if liked is not None else 0}
    return prompt.render(**{name: values[name] for name in prompt.variables})
