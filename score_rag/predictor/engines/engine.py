"""What an engine is: texts in, answers out. Tokens are its own business."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from score_rag.arguments import read_text
from score_rag.errors import ChangeSetting, InputError
from score_rag.predictor.answer import Answer
from score_rag.progress import Report, silent

__all__ = ["Engine", "TokenEngine"]


@runtime_checkable
class Engine(Protocol):
    """Scores texts by the probability of Yes as their next token.

    Attributes:
        max_tokens: Longest text it reads, in tokens.
    """

    max_tokens: int

    def count_tokens(self, text: str) -> int:
        """Tokens of a text as this engine would read it (chat template and special tokens included)."""
        ...

    def score(self, texts: Sequence[str], *, report: Report = silent) -> list[Answer]:
        """One answer a text, in order.

        Raises:
            InputError: A text is empty or has more than `max_tokens` tokens.
            ModelError: The engine cannot answer.
        """
        ...

    async def ascore(self, texts: Sequence[str]) -> list[Answer]:
        """`score`, without blocking the event loop."""
        ...


class TokenEngine(ABC):
    """An engine with a tokenizer at hand: checks lengths, and leaves rows of token ids to score.

    Args:
        encode: Text to token ids.
        answers: Token ids of Yes and No.
        max_tokens: Longest row.
    """

    def __init__(self, encode: Callable[[str], Sequence[int]], answers: tuple[int, int], max_tokens: int) -> None:
        self.encode = encode
        self.answers = answers
        self.max_tokens = max_tokens

    def count_tokens(self, text: str) -> int:
        """Tokens of a text as this engine would read it."""
        return len(self.encode(text))

    def score(self, texts: Sequence[str], *, report: Report = silent) -> list[Answer]:
        """One answer a text, in order; see `Engine.score`."""
        rows = self.rows(texts)
        return self.score_rows(rows, report) if rows else []

    async def ascore(self, texts: Sequence[str]) -> list[Answer]:
        """`score`, in a thread."""
        return await asyncio.to_thread(self.score, texts)

    def rows(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text.

        Raises:
            InputError: A text is empty, too long, or cannot be written in UTF-8.
        """
        for place, text in enumerate(texts):
            read_text(text, where=f"prompt {place}")
        if any(not text.strip() for text in texts):
            raise InputError("a prompt is empty", expected="text that ends in the question")
        rows = [list(self.encode(text)) for text in texts]
        long = [(place, len(row)) for place, row in enumerate(rows) if len(row) > self.max_tokens]
        if long:
            place, length = max(long, key=lambda one: one[1])
            raise InputError(
                f"{len(long)} of {len(rows)} prompts are longer than the engine reads",
                where=f"prompt {place}: {texts[place][:60]!r}...",
                expected=f"at most {self.max_tokens} tokens",
                found=f"{length} tokens",
                hint="show fewer history items or neighbours",
                remedy=ChangeSetting({"predictor.history": 5}),
            )
        return rows

    @abstractmethod
    def score_rows(self, rows: Sequence[list[int]], report: Report) -> list[Answer]:
        """One answer a row; there is at least one row, and none is too long."""
