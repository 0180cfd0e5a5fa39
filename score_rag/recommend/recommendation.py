"""What a recommendation says: the answer, and the evidence it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from score_rag.context.levels import Fact
from score_rag.context.neighbours import Neighbour
from score_rag.data.log import Item
from score_rag.pipeline.routes import AnsweredBy

__all__ = ["Recommendation"]


@dataclass(frozen=True)
class Recommendation:
    """Will this user like this item?

    Attributes:
        probability: P(like).
        verdict: "Yes" from one half upward.
        mass: What the language model gave to Yes and No together; None where none was asked.
        neighbours: The other users that the model was told, best first.
        evidence: What else the model was told of the answer, by name (`everyone`, `expectation.lightgcn`, ...).
        prompt: What the model read; empty where none was asked.
        parts: Stage to what ran there; bundled parts say so.
        left_out: What the prompt does not tell because the model could not read it; empty where it tells all.
        route: Who answered: `predictor`, the language model; `recommender`, where this place in a ranking is the conventional
            recommender's; `recommender-alone`, where the run has no more than that yet, and P(like) is its own too.
        warnings: What a reader should know before trusting it.
    """

    user_id: str | None
    item: Item
    probability: float
    verdict: Literal["Yes", "No"]
    mass: float | None
    neighbours: list[Neighbour]
    prompt: str
    parts: dict[str, str]
    evidence: Mapping[str, Fact] = field(default_factory=dict)
    left_out: str = ""
    route: AnsweredBy = "predictor"
    warnings: list[str] = field(default_factory=list)

    def _repr_html_(self) -> str:
        """As a notebook shows it."""
        from score_rag.recommend.html import to_html

        return to_html(self)

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        out = asdict(self)
        out["item"]["name"] = self.item.name
        out["evidence"] = {name: fact._asdict() for name, fact in self.evidence.items()}
        out["neighbours"] = [
            {
                "user_id": other.user_id,
                "retriever_score": other.similarity,
                "reranker_score": other.reranker_score,
                "behaviour": other.behaviour,
                "in_common": list(other.in_common),
                "verdict_on_item": other.verdict or None,
                "similar_liked": [item.name for item in other.similar_liked],
                "similar_disliked": [item.name for item in other.similar_disliked],
            }
            for other in self.neighbours
        ]
        return out
