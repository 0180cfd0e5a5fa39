"""What a recommendation says: the answer, and the evidence it rests on."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from score_rag.data.log import Item

__all__ = ["Neighbour", "Recommendation"]


@dataclass(frozen=True)
class Neighbour:
    """Another user whose behaviour was told to the model.

    Attributes:
        retriever_score: CAR's cosine.
        reranker_score: SARE's logit.
        behaviour: The document.
        in_common: What the two users share, in plain words.
        verdict_on_item: Their own judgement of the item, if it was given by then.
    """

    user_id: str
    retriever_score: float
    reranker_score: float
    behaviour: str
    in_common: list[str]
    verdict_on_item: str | None


@dataclass(frozen=True)
class Recommendation:
    """Will this user like this item?

    Attributes:
        probability: P(like).
        verdict: "Yes" from one half upward.
        mass: What the model gave to Yes and No together.
        prompt: What the model read.
        parts: Stage to what ran there; embedded parts say so.
        warnings: What a reader should know before trusting it.
    """

    user_id: str | None
    item: Item
    probability: float
    verdict: Literal["Yes", "No"]
    mass: float
    neighbours: list[Neighbour]
    prompt: str
    parts: dict[str, str]
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        out = asdict(self)
        out["item"]["name"] = self.item.name
        return out
