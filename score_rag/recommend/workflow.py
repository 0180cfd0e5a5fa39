"""The flow for one question as a LlamaIndex Workflow: look up, retrieve (CAR), rerank (SARE), ask the language model.

    from score_rag.recommend.workflow import RecommendWorkflow

    flow = RecommendWorkflow.from_run("sample")
    answered = await flow.run(user_id="42", item_id="17")
    print(answered.probability)

Use it in an app that already runs workflows; its events show what happens while it happens:

    handler = flow.run(user_id="42", item_id="17")
    async for event in handler.stream_events():
        match event:
            case RetrievedEvent():
                print(len(event.nodes), "similar users")
            case AnsweredEvent():
                print(event.recommendation.verdict)

`Recommender.recommend` gives the same answer: both look questions up, write prompts and explain answers by the same functions.
"""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from llama_index.core.schema import NodeWithScore, TextNode
from pydantic import BeforeValidator, Field, InstanceOf
from workflows import Context, Workflow, step
from workflows.events import Event, StartEvent, StopEvent

from score_rag.arguments import Time, read_id, read_time
from score_rag.context.finder import ContextFinder, RetrievedContext
from score_rag.context.writer import QuestionWriter
from score_rag.data import log
from score_rag.data.interactions import Interactions
from score_rag.index.reader import Hit
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.run import Run
from score_rag.pipeline.serving_run import ServingRun
from score_rag.pipeline.stages import STAGES
from score_rag.recommend.answering import warnings_of
from score_rag.recommend.explain import explain
from score_rag.recommend.question import FoundQuestion, History, find_question
from score_rag.recommend.recommendation import Recommendation

if TYPE_CHECKING:
    from score_rag.predictor.predictor import Predictor

__all__ = ["AnsweredEvent", "QuestionEvent", "RecommendWorkflow", "RerankedEvent", "RetrievedEvent"]


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


class RecommendWorkflow(Workflow):
    """`QuestionEvent` → `RetrievedEvent` → `RerankedEvent` → `AnsweredEvent`, each written to the stream.

    Args:
        finder: Retrieves other users (CAR) and keeps a few (SARE).
        writer: Writes the prompt with its evidence.
        predictor: Gives P(like).
        interactions: Where users' histories and the catalogue are looked up.
        timeout: Seconds, or None for no limit.
    """

    def __init__(
        self,
        finder: ContextFinder,
        writer: QuestionWriter,
        predictor: Predictor,
        interactions: Interactions,
        *,
        timeout: float | None = None,
    ) -> None:
        super().__init__(timeout=timeout)
        self.finder = finder
        self.writer = writer
        self.predictor = predictor
        self.interactions = interactions
        self._run: Run | None = None
        self.provenance: dict[str, str] = {}
        self.warnings: tuple[str, ...] = ()

    @classmethod
    def from_run(cls, run: Run | Pipeline | Path | str, *, timeout: float | None = None) -> Self:
        """The workflow of a finished run, with the run's own numbers of users to retrieve, to rerank and to keep.

        All parts are loaded now, so that no question waits for them; inside an event loop call it with `asyncio.to_thread`.

        Args:
            run: An open run, a pipeline, its name, or the path of its file; the latter answer from the current events, as they come in.
            timeout: Seconds a question may take, or None for no limit.

        Raises:
            InputError: There is no such pipeline.
            StageError: A stage of the run is not finished.
        """
        opened = run if isinstance(run, Run) else ServingRun.open(run, stages=STAGES)
        flow = cls(opened.finder, opened.writer, opened.predictor, opened.histories, timeout=timeout)
        flow._run = opened
        flow.provenance = opened.provenance
        flow.warnings = warnings_of(opened)
        return flow

    def _renew(self) -> None:
        """Answer from the current events, where a run that knows of them is behind this workflow."""
        held = self._run
        if isinstance(held, ServingRun) and (now := held.current()) is not held:
            self.finder, self.writer, self.interactions, self.warnings = now.finder, now.writer, now.histories, warnings_of(now)
            self._run = now

    def __reduce__(self) -> Any:
        return super().__reduce__() if self._run is None else (partial(type(self).from_run, timeout=self._timeout), (self._run,))

    def __repr__(self) -> str:
        return f"RecommendWorkflow({'' if self._run is None else repr(self._run)})"

    async def ask(
        self, user_id: str | int | None, item_id: str | int, *, history: History | None = None, as_of: Time | None = None
    ) -> AnsweredEvent:
        """`run` and its result: the same question as `Recommender.recommend` takes, the answer with its type.

        Raises:
            InputError: The user, the item or a name in the history is unknown, or an argument is of another form.
        """
        answered: AnsweredEvent = await self.run(user_id=user_id, item_id=item_id, history=history, as_of=as_of)
        return answered

    @step
    async def retrieve(self, context: Context, asked: QuestionEvent) -> RetrievedEvent:
        """Look the question up, and find similar users."""
        context.write_event_to_stream(asked)
        retrieved = await asyncio.to_thread(self._retrieve, asked)
        context.write_event_to_stream(retrieved)
        return retrieved

    @step
    async def rerank(self, context: Context, found: RetrievedEvent) -> RerankedEvent:
        """Keep the few that help with the item."""
        reranked = await asyncio.to_thread(self._rerank, found)
        context.write_event_to_stream(reranked)
        return reranked

    @step
    async def predict(self, found: RerankedEvent) -> AnsweredEvent:
        """Ask the language model. (The last event streams itself.)"""
        recommendation = await asyncio.to_thread(self._answer, found)
        return AnsweredEvent(recommendation=recommendation, kept=found.kept, retrieved=found.retrieved)

    def _retrieve(self, asked: QuestionEvent) -> RetrievedEvent:
        self._renew()
        found = find_question(self.interactions, asked.user_id, asked.item_id, history=asked.history, as_of=asked.as_of)
        # Somebody without any history is like nobody; and who is not told need not be found.
        hits = self.finder.retrieve([found.question])[0] if self.writer.builder.tells_neighbours else []
        return RetrievedEvent(asked=found, query=self.finder.query(found.question), nodes=[_node(hit, hit.score) for hit in hits])

    def _rerank(self, found: RetrievedEvent) -> RerankedEvent:
        context = self.finder.keep([found.asked.question], [[_hit(node) for node in found.nodes]])[0]
        return RerankedEvent(asked=found.asked, kept=[_node(hit, score) for hit, score in context.kept], retrieved=found.nodes)

    def _answer(self, found: RerankedEvent) -> Recommendation:
        hits = {node.node_id: _hit(node) for node in found.retrieved}
        kept = tuple((hits[node.node_id], float(node.score or 0.0)) for node in found.kept)
        (told,) = self.writer.write([found.asked.question], [RetrievedContext(tuple(hits.values()), kept)])
        (answer,) = self.predictor.score([told.text])
        return explain(found.asked, told, answer, witnesses=self.writer.witnesses, parts=self.provenance, warnings=self.warnings)


def _node(hit: Hit, score: float) -> NodeWithScore:
    facts = {"user_id": hit.user_id, "known_until": hit.known_until, "events": hit.events, "similarity": hit.score}
    return NodeWithScore(node=TextNode(id_=hit.document_id, text=hit.text, metadata=facts), score=score)


def _hit(node: NodeWithScore) -> Hit:
    facts = node.metadata
    return Hit(facts["user_id"], node.node_id, node.text, facts["similarity"], facts["known_until"], facts["events"])
