"""What flows between the steps of `RecommendWorkflow`, and what one question is answered from."""

from __future__ import annotations

from typing import Annotated, NamedTuple, Self

from llama_index.core.schema import NodeWithScore
from pydantic import BeforeValidator, Field, InstanceOf, PrivateAttr
from workflows.events import Event, StartEvent, StopEvent

from score_rag.arguments import read_id, read_time
from score_rag.context.finder import ContextFinder
from score_rag.context.writer import QuestionWriter
from score_rag.data import log
from score_rag.data.interactions import Interactions
from score_rag.pipeline.run import Run
from score_rag.recommend.answering import warnings_of
from score_rag.recommend.question import FoundQuestion
from score_rag.recommend.recommendation import Recommendation

__all__ = ["AnsweredEvent", "Parts", "QuestionEvent", "RerankedEvent", "RetrievedEvent"]


class Parts(NamedTuple):
    """What one question is answered from, all of the same data and the same generation of the index."""

    finder: ContextFinder
    writer: QuestionWriter
    interactions: Interactions
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, run: Run) -> Self:
        """Those of a run."""
        return cls(run.finder, run.writer, run.histories, warnings_of(run))


class QuestionEvent(StartEvent):
    """A question: will this user like this item?

    Attributes:
        item_id: An item of the catalogue, by id or by name.
        user_id: A user of the data, whose history is looked up; None for somebody who is not in it.
        history: What somebody outside the data judged: names (`"Heat (1995); -Grease (1978)"`), or a list of names or events.
        as_of: Time of the question: seconds, a `datetime`, or an ISO date; nothing at or after it is used. None means now; for an item
            that the user has judged already, just before that.
    """

    item_id: Annotated[str, BeforeValidator(lambda given: read_id(given, where="item_id"))]
    user_id: Annotated[str | None, BeforeValidator(lambda given: None if given is None else read_id(given, where="user_id"))] = None
    history: str | list[log.Event | str] | None = None
    as_of: Annotated[int | None, BeforeValidator(read_time)] = None


class RetrievedEvent(Event):
    """Users that CAR found.

    Attributes:
        asked: The question, looked up.
        query: What the retriever read: the user's history in words; empty where there is none, and then nobody is retrieved.
        nodes: The found users' documents, most similar first.
    """

    asked: InstanceOf[FoundQuestion]
    query: str
    nodes: list[NodeWithScore]
    # Another question may renew the workflow's own meanwhile. An event that was stored and read again has none, and takes those.
    _parts: Parts | None = PrivateAttr(default=None)


class RerankedEvent(Event):
    """The few that SARE kept.

    Attributes:
        asked: The question, looked up.
        kept: Documents whose users are told to the language model, best first; `score` is the reranker's.
        retrieved: All that were retrieved.
    """

    asked: InstanceOf[FoundQuestion]
    kept: list[NodeWithScore]
    retrieved: list[NodeWithScore]
    _parts: Parts | None = PrivateAttr(default=None)


class AnsweredEvent(StopEvent):
    """The answer, and everything it rests on; what `await handler` returns.

    Attributes:
        recommendation: As `Recommender.recommend` returns it.
        kept: As in `RerankedEvent`.
        retrieved: As in `RerankedEvent`.
    """

    recommendation: InstanceOf[Recommendation]
    kept: list[NodeWithScore] = Field(default_factory=list)
    retrieved: list[NodeWithScore] = Field(default_factory=list)

    @property
    def probability(self) -> float:
        """P(like)."""
        return self.recommendation.probability
