"""What requests may hold; what is not among it is refused."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Explain", "FeedbackIn", "FeedbackList", "ItemIn", "Recommend", "Rerank", "Score", "Text", "TextDocument"]

Id = Annotated[str, Field(min_length=1, max_length=512)]
Text = Annotated[str, Field(min_length=1, max_length=1000)]
When = Annotated[int | str | None, Field(description="Seconds since 1970 or an ISO date; nothing at or after it is used. Null is now.")]
History = Annotated[
    str | Annotated[list[Text], Field(max_length=1000)] | None,
    Field(description='What somebody judged: "Heat (1995); -Grease (1978)", or a list of names or ids; a minus means disliked.'),
]


FEW = 20
"""Items that are reranked for without being told to: more would take longer than somebody waits."""
RERANK = Field(
    True,
    description="Choose the users that are told by the reranker (SARE) for each item; without, as in rankings, it takes a tenth as long.",
)


class Form(BaseModel):
    """A body without strangers in it."""

    model_config = ConfigDict(extra="forbid", str_max_length=100_000)


class Who(Form):
    """A user of the data, or somebody with a history of their own; neither is somebody of whom nothing is known."""

    user_id: Id | None = None
    history: History = None
    as_of: When = None


class Score(Who):
    """How likely somebody is to like each of some items."""

    items: Annotated[list[Id], Field(min_length=1, max_length=1000, description="Ids or names.")]
    rerank: bool | None = Field(None, description=f"As `/v1/explain` has it; null is true for at most {FEW} items. The answer says which.")

    @property
    def reranked(self) -> bool:
        """Whether the reranker chooses."""
        return len(self.items) <= FEW if self.rerank is None else self.rerank


class Recommend(Who):
    """The best items for somebody."""

    n: int = Field(10, ge=1, le=100)
    offset: int = Field(0, ge=0, le=1000)
    candidates: Annotated[list[Id], Field(max_length=1000)] | None = Field(
        None, description="Items to rank, in place of the recommender's."
    )
    categories: Annotated[list[Text], Field(max_length=50)] | None = Field(None, description="Only items with one of these genres.")
    exclude_seen: bool = Field(True, description="Leave out what the history has.")


class Explain(Who):
    """One answer with all that it rests on."""

    item: Id
    rerank: bool = RERANK
    parts: bool = Field(
        False, description="Also what each part of the prompt changes and where the verdict looks; as long as a question a part takes."
    )


class TextDocument(BaseModel):
    """A document of `/v1/rerank`."""

    text: str


class Rerank(BaseModel):
    """Jina's form: others' clients send more fields than are read here."""

    model: str | None = None
    query: Annotated[
        str, Field(min_length=1, max_length=100_000, description="A user's id, or a history in names; with other texts, any text.")
    ]
    documents: Annotated[
        list[str | TextDocument], Field(min_length=1, max_length=1000, description="Ids or names of items; or none such, but texts.")
    ]
    by: Literal["items", "texts"] | None = Field(
        None, description="What the documents are; by default items where one of them names an item of the catalogue, otherwise texts."
    )
    top_n: int | None = Field(None, ge=1)
    return_documents: bool = False


class ItemIn(Form):
    """Facts of an item that the catalogue may not have."""

    title: Text
    year: int | None = Field(None, ge=1, le=9999)
    genres: Annotated[list[Text], Field(max_length=50)] = []
    creators: Annotated[list[Text], Field(max_length=50)] = []
    keywords: Annotated[list[Text], Field(max_length=50)] = []


class FeedbackIn(Form):
    """A judgement."""

    event_id: Id | None = Field(None, description="Names it: sent again, it is taken once. By default made of user, item and time.")
    user_id: Id
    item_id: Id
    liked: bool | None = None
    rating: float | None = Field(None, allow_inf_nan=False, description="In place of liked: compared with data.threshold.")
    timestamp: int | str | None = Field(None, description="When it was given: seconds since 1970 or an ISO time; by default now.")
    request_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] | None = None
    item: ItemIn | None = None


FeedbackList = Annotated[list[FeedbackIn], Field(min_length=1, max_length=1000)]
