"""What agents are answered: typed results, small enough to be read by a language model, each field described."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field

from score_rag.data.log import Item
from score_rag.pipeline.routes import OrderedBy
from score_rag.recommend.recommendation import Recommendation

if TYPE_CHECKING:
    from score_rag.explain.explanation import PromptLook

__all__ = ["Evidence", "Explanation", "ItemFacts", "Items", "OtherUser", "OtherUsers", "PromptPart", "Ranking", "Score", "Scores"]


class ItemFacts(BaseModel):
    """An item of the catalogue."""

    item_id: str = Field(description="Its id; every tool takes it where it takes a name.")
    name: str = Field(description="Its title, with the year where that is known.")
    year: int | None = None
    genres: list[str] = []
    creators: list[str] = []

    @classmethod
    def of(cls, item: Item) -> ItemFacts:
        """From the catalogue."""
        return cls(item_id=item.item_id, name=item.name, year=item.year, genres=list(item.genres), creators=list(item.creators))


class Items(BaseModel):
    """Items that were found."""

    items: list[ItemFacts] = Field(description="Best match first; empty where nothing is called or told of so.")


class Score(BaseModel):
    """How probably a user likes an item."""

    item: ItemFacts
    probability: float = Field(ge=0, le=1, description="P(like).")
    verdict: Literal["Yes", "No"] = Field(description="Yes from one half upward.")
    notes: list[str] = Field(default=[], description="What a reader should know before trusting it.")

    @classmethod
    def of(cls, found: Recommendation) -> Score:
        """From an answer."""
        return cls(item=ItemFacts.of(found.item), probability=found.probability, verdict=found.verdict, notes=found.warnings)


class Scores(BaseModel):
    """Scores of several items, in the order in which they were asked."""

    user_id: str | None
    scores: list[Score]


class Ranking(BaseModel):
    """Items for a user, best first."""

    user_id: str | None
    route: OrderedBy = Field(
        description="Whose order this is: the language model's, or the conventional recommender's where that orders better."
    )
    items: list[Score]


class Evidence(BaseModel):
    """A number that the language model was told, and its word."""

    name: str = Field(description="Such as `everyone` or `expectation.lightgcn`.")
    word: str
    value: float | None = None


class OtherUser(BaseModel):
    """Another user whose behaviour is alike."""

    user_id: str
    similarity: float = Field(description="Cosine; 1 is equal.")
    helps: float | None = Field(default=None, description="The reranker's logit; null where nothing was reranked.")
    behaviour: str = Field(description="What they did, in words.")
    verdict_on_item: Literal["liked", "disliked"] | None = None
    in_common: list[str] = []


class OtherUsers(BaseModel):
    """Users whose behaviour is most like the asker's, most alike first."""

    users: list[OtherUser]


class PromptPart(BaseModel):
    """A part of the prompt, and what it changes."""

    name: str = Field(description="Such as `neighbour 1`, `history`, `expectation.lightgcn`, `target`.")
    label: str
    effect: float | None = Field(default=None, description="P(like) less what it is without this part; null where it cannot be left out.")
    attention: float | None = Field(default=None, description="Share of where the verdict looks; null where that cannot be read.")

    @classmethod
    def of(cls, look: PromptLook) -> list[PromptPart]:
        """From a prompt that was taken apart."""
        return [cls(name=one.name, label=one.label, effect=one.effect, attention=one.attention) for one in look.segments]


class Explanation(Score):
    """A score with everything that it rests on."""

    user_id: str | None = None
    evidence: list[Evidence] = []
    neighbours: list[OtherUser] = Field(default=[], description="The other users that the language model was told of, best first.")
    parts: dict[str, str] = Field(default={}, description="What ran at each stage.")
    left_out: str = Field(
        default="", description="What the prompt leaves out, since the model could not read it; empty where it tells all."
    )
    prompt: str | None = Field(default=None, description="What the language model read; null where it was not asked for.")
    prompt_parts: list[PromptPart] = Field(default=[], description="What each part of the prompt changes; empty where not asked for.")

    @classmethod
    def told(cls, found: Recommendation, *, prompt: bool) -> Explanation:
        """From an answer, with or without the prompt."""
        return cls(
            **Score.of(found).model_dump(),
            user_id=found.user_id,
            evidence=[Evidence(name=name, word=fact.word, value=fact.value) for name, fact in found.evidence.items()],
            neighbours=[
                OtherUser(
                    user_id=other.user_id,
                    similarity=other.similarity,
                    helps=other.reranker_score,
                    behaviour=other.behaviour,
                    verdict_on_item=other.verdict or None,
                    in_common=list(other.in_common),
                )
                for other in found.neighbours
            ],
            parts=found.parts,
            left_out=found.left_out,
            prompt=found.prompt if prompt else None,
        )
