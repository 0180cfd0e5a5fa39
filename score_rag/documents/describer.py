"""A user's behaviour, told in words: what CAR embeds, what SARE reads, and what a prompt says of other users."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from score_rag.data.log import Event, Item
from score_rag.documents.settings import DocumentSettings
from score_rag.errors import InputError, PromptError, did_you_mean
from score_rag.inference.onnx import TextTokenizer
from score_rag.prompts import Prompt

__all__ = ["DOCUMENT_VARIABLES", "Describer", "describe_item", "token_counter"]


def describe_item(item: Item) -> str:
    """One item in a line: name, genres, creators, keywords, as far as they are known.

    >>> describe_item(Item("1", "Heat", 1995, ("Crime",), ("Michael Mann",), ("heist",)))
    'Heat (1995). Crime. By Michael Mann. heist.'
    """
    creators = f"By {', '.join(item.creators)}" if item.creators else ""
    parts = [item.name, ", ".join(item.genres), creators, ", ".join(item.keywords)]
    return ". ".join(part for part in parts if part) + "."


class _Known(NamedTuple):
    """What is known of a user, by the latest verdict on each item, most recent first."""

    latest: list[Item]
    liked: list[Item]
    disliked: list[Item]

    def distinctive(self, words: Callable[[Item], Iterable[str]], count: int, sign: int = 1) -> list[str]:
        """Words of items that this user likes clearly more often (`sign` 1) or less often (-1) than the user likes items in general.

        By how many standard errors a word's like-rate lies off the user's own; at least 1.
        """
        likes = Counter(word for item in self.liked for word in dict.fromkeys(words(item)) if word)
        every = likes + Counter(word for item in self.disliked for word in dict.fromkeys(words(item)) if word)
        # One judgement of each kind is added, so that a user who liked everything still has a rate to differ from.
        rate = (len(self.liked) + 1) / (len(self.liked) + len(self.disliked) + 2)
        off = {word: sign * (likes[word] - rate * times) / math.sqrt(times * rate * (1 - rate)) for word, times in every.items()}
        best = sorted((word for word in off if off[word] >= 1.0), key=lambda word: -off[word])
        return best[:count]

    def usual(self, words: Callable[[Item], Iterable[str]], count: int) -> list[str]:
        """Words that most of the liked items have, most frequent first."""
        found = Counter(word for item in self.liked for word in dict.fromkeys(words(item)) if word)
        return [word for word, _ in found.most_common(count)]


_WORDS: dict[str, Callable[[_Known], list[str]]] = {
    "genres": lambda known: known.distinctive(lambda item: item.genres, 3),
    "decades": lambda known: known.distinctive(lambda item: (item.decade,), 2),
    "avoided": lambda known: known.distinctive(lambda item: item.genres, 2, -1),
    "creators": lambda known: known.distinctive(lambda item: item.creators, 2),
    "keywords": lambda known: known.distinctive(lambda item: item.keywords, 3),
    "usual_genres": lambda known: known.usual(lambda item: item.genres, 3),
    "usual_decades": lambda known: known.usual(lambda item: (item.decade,), 1),
}
_COUNTS: dict[str, Callable[[_Known], int]] = {
    "judged": lambda known: len(known.latest),
    "liked_share": lambda known: round(100 * len(known.liked) / len(known.latest)),
}
DOCUMENT_VARIABLES = frozenset({"liked", "disliked", "latest", *_WORDS, *_COUNTS})
"""What a prompt for documents may declare; each is computed only where it is."""

_DEFAULTS = DocumentSettings()

_ADDED_TOKENS = 4
"""More tokens than that no tokenizer puts around a text; of plain ASCII letters it makes at most one token each."""


class Describer:
    """The paper's d(H(u)): events in, a text out.

    Args:
        prompt: A prompt whose variables are among `DOCUMENT_VARIABLES`.
        catalogue: Items by id.
        settings: How much is told, most recent first. A text longer than `max_tokens` is told again with fewer items (the oldest go first,
            liked and disliked in proportion), then with fewer words for tastes, until it fits: never cut. Where even one item without such
            words is too long, that is told.
        count_tokens: How long a text is; see `token_counter`.
        changes: Single settings, in place of those given.

    Raises:
        PromptError: The prompt declares what behaviour does not tell.
        InputError: A budget without a way to count.
    """

    def __init__(
        self,
        prompt: Prompt,
        catalogue: Mapping[str, Item],
        settings: DocumentSettings = _DEFAULTS,
        *,
        count_tokens: Callable[[str], int] | None = None,
        **changes: Any,
    ) -> None:
        settings = settings.changed(**changes)
        strangers = sorted(set(prompt.variables) - DOCUMENT_VARIABLES)
        if strangers:
            raise PromptError(
                f"prompt {prompt.name!r} declares unknown variables: {', '.join(strangers)}",
                where=prompt.path,
                expected=", ".join(sorted(DOCUMENT_VARIABLES)),
                found=", ".join(sorted(prompt.variables)),
                hint=did_you_mean(strangers[0], DOCUMENT_VARIABLES),
            )
        if settings.max_tokens is not None and count_tokens is None:
            raise InputError(
                "a budget of tokens needs a tokenizer", expected="count_tokens", found=f"max_tokens={settings.max_tokens} alone"
            )
        self.prompt = prompt
        self.catalogue = catalogue
        self.max_liked = settings.max_liked
        self.max_disliked = settings.max_disliked
        self.max_tokens = settings.max_tokens
        self.count_tokens = count_tokens

    def describe(self, history: Sequence[Event]) -> str:
        """The text for a history (oldest first); an empty history gives an empty text."""
        if not history:
            return ""
        verdicts: dict[str, bool] = {}
        for event in reversed(history):
            verdicts.setdefault(event.item_id, event.liked)
        items = self.catalogue
        known = _Known(
            [items[item_id] for item_id in verdicts],
            [items[item_id] for item_id, liked in verdicts.items() if liked],
            [items[item_id] for item_id, liked in verdicts.items() if not liked],
        )
        words = {name: tell(known) for name, tell in _WORDS.items() if name in self.prompt.variables}
        counts = {name: tell(known) for name, tell in _COUNTS.items() if name in self.prompt.variables}
        told = partial(self._told, known, words, counts)
        text = told(0)
        return text if self._fits(text) else self._shorter(told, self._steps(known, words))

    def _told(self, known: _Known, words: Mapping[str, list[str]], counts: Mapping[str, int], step: int) -> str:
        """The text after so many steps of shortening: first an item each, down to one, then a word of each list."""
        liked, disliked = self._most(known)
        every = liked + disliked
        kept = max(every - step, min(every, 1))
        likes = (kept * liked + every // 2) // every if every else 0
        fewer = max(0, step - max(0, every - 1))
        longest = max(map(len, words.values()), default=0)
        listed = {"liked": known.liked[:likes], "disliked": known.disliked[: kept - likes], "latest": known.latest[:kept]}
        values: dict[str, Any] = {name: value for name, value in listed.items() if name in self.prompt.variables}
        return self.prompt.render(**values, **{name: said[: longest - fewer] for name, said in words.items()}, **counts).strip()

    def _most(self, known: _Known) -> tuple[int, int]:
        return min(len(known.liked), self.max_liked), min(len(known.disliked), self.max_disliked)

    def _steps(self, known: _Known, words: Mapping[str, list[str]]) -> int:
        return max(0, sum(self._most(known)) - 1) + max(map(len, words.values()), default=0)

    def _fits(self, text: str) -> bool:
        if self.max_tokens is None or self.count_tokens is None:
            return True
        return (text.isascii() and len(text) + _ADDED_TOKENS <= self.max_tokens) or self.count_tokens(text) <= self.max_tokens

    def _shorter(self, told: Callable[[int], str], steps: int) -> str:
        """The longest text that fits (by bisection: each step makes it shorter), else the shortest that says anything."""
        shortest = next((step for step in range(steps, 0, -1) if told(step)), 0)
        too_long, best = 0, told(shortest)
        while shortest - too_long > 1:
            middle = (too_long + shortest) // 2
            text = told(middle)
            if self._fits(text):
                shortest, best = middle, text
            else:
                too_long = middle
        return best


def token_counter(folder: Path | str) -> Callable[[str], int]:
    """Counts a text's tokens, those included that the tokenizer puts around it.

    Args:
        folder: Holds `tokenizer.json`, as every encoder's folder does.

    Raises:
        ModelError: There is none, or it cannot be read.
    """
    tokenizer = TextTokenizer(folder, max_tokens=2**20)
    return lambda text: len(tokenizer.encode([text])[0].ids)
