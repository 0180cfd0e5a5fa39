"""What an answer rests on: where its verdict looks, and what each part of the prompt changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from score_rag.context.segments import Span, SpanKind, kind_of
from score_rag.predictor.answer import Answer
from score_rag.recommend.recommendation import Recommendation

__all__ = ["CAUTION", "NO_ATTENTION", "NO_TORCH", "Explanation", "PromptLook", "SegmentLook", "TokenLook"]

CAUTION = (
    "attention says where the model looks, not why it answers (Jain and Wallace 2019); what a part is worth to the answer is "
    "measured by asking again without it"
)
NO_ATTENTION = "no attention: the engine {engine} does not tell it; what each part changes is measured all the same"

NO_TORCH = (
    "no attention: it is read with torch, which is not installed (pip install 'score-rag[train]'); what each part changes is "
    "measured all the same"
)


@dataclass(frozen=True)
class SegmentLook:
    """One part of a prompt: all that says one thing.

    Attributes:
        name: `instructions`, `neighbour 1`, `history`, `mood`, `expectation.din`, `target`.
        label: The same for people: `user 355, disliked it`.
        spans: (first character, one past the last) of each of its stretches, in order.
        tokens: How many tokens it has; one that two parts share counts by its characters.
        attention: Share of the verdict's attention, mean over layers and heads; None where the engine tells none.
        without: P(like) when asked without it; None where it cannot be left out.
        effect: P(like) less `without`: positive where the part speaks for Yes.
    """

    name: str
    label: str
    spans: tuple[tuple[int, int], ...]
    tokens: float = 0.0
    attention: float | None = None
    without: float | None = None
    effect: float | None = None

    @property
    def kind(self) -> SpanKind:
        """`instructions`, `neighbour`, `history`, `evidence` or `target`."""
        return kind_of(self.name)


@dataclass(frozen=True)
class TokenLook:
    """One token of the prompt: its place in the text, and its share of the verdict's attention (mean over layers and heads)."""

    start: int
    end: int
    attention: float


@dataclass(frozen=True)
class PromptLook:
    """One prompt, taken apart.

    Attributes:
        text: The prompt.
        answer: The answer to the whole of it.
        spans: Tile the text, in order.
        segments: The parts, in the order in which they first stand in the text.
        tokens: Of the text, in order; empty where the engine tells no attention.
        special: Share of attention to tokens that are none of the text (beginning of text, chat form); None without attention.
        heads: float64 [layers, heads, segments + 1], shares of attention; the last column is `special`. Each head's row sums to 1.
    """

    text: str
    answer: Answer
    spans: tuple[Span, ...]
    segments: tuple[SegmentLook, ...]
    tokens: tuple[TokenLook, ...] = ()
    special: float | None = None
    heads: np.ndarray | None = None

    def segment(self, name: str) -> SegmentLook:
        """A part by its name.

        Raises:
            KeyError: The prompt has no such part.
        """
        for found in self.segments:
            if found.name == name:
                return found
        raise KeyError(name)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "prompt": self.text,
            "probability": self.answer.probability,
            "segments": [
                {
                    "name": one.name,
                    "kind": one.kind,
                    "label": one.label,
                    "text": [self.text[start:end] for start, end in one.spans],
                    "spans": [list(span) for span in one.spans],
                    "tokens": round(one.tokens, 3),
                    "attention": one.attention,
                    "probability_without": one.without,
                    "effect": one.effect,
                }
                for one in self.segments
            ],
            "tokens": [{"start": one.start, "end": one.end, "attention": one.attention} for one in self.tokens],
            "special_tokens_attention": self.special,
            "attention_by_layer_and_head": None if self.heads is None else np.round(self.heads, 6).tolist(),
        }


@dataclass(frozen=True)
class Explanation:
    """An answer, and its prompt taken apart.

    Attributes:
        recommendation: The answer as `Recommender.recommend` gives it.
        look: Its prompt.
        notes: What a reader must know; `CAUTION` first.
    """

    recommendation: Recommendation
    look: PromptLook
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        found = self.recommendation
        head: Mapping[str, Any] = {
            "user_id": found.user_id,
            "item": {"item_id": found.item.item_id, "name": found.item.name},
            "verdict": found.verdict,
        }
        return {**head, **self.look.to_dict(), "notes": list(self.notes), "warnings": list(found.warnings)}

    def parts(self) -> dict[str, Any]:
        """The prompt taken apart, for JSON that has the answer already."""
        told = self.look.to_dict()
        return {name: value for name, value in told.items() if name not in ("prompt", "probability")} | {"notes": list(self.notes)}
