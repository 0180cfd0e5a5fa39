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
import copy
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

from llama_index.core.schema import NodeWithScore
from pydantic import Field, InstanceOf
from workflows import Context, Workflow, step
from workflows.events import Event, StartEvent, StopEvent

from score_rag.context.finder import RetrievedContext, prompts
from score_rag.context.prompt import PromptBuilder, visible_history
from score_rag.data import log
from score_rag.data.interactions import Interactions
from score_rag.documents.describer import Describer, describe_item
from score_rag.index.reader import Hit
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.run import Run
from score_rag.pipeline.runner import STAGES
from score_rag.recommend.explain import explain
from score_rag.recommend.question import FoundQuestion, find_question
from score_rag.recommend.recommendation import Recommendation
from score_rag.retriever.retriever import CollaborativeRetriever, UserQuery

if TYPE_CHECKING:
    from score_rag.predictor.predictor import Predictor
    from score_rag.reranker.reranker import SelfAssessingReranker

__all__ = ["AnsweredEvent", "QuestionEvent", "RecommendWorkflow", "RerankedEvent", "RetrievedEvent"]


class QuestionEvent(StartEvent):
    """A question: will this user like this item?

    Attributes:
        item_id: An item of the catalogue, by id or by name.
        user_id: A user of the data, whose history is looked up; None for somebody who is not in it.
        history: What somebody outside the data judged: names (`"Heat (1995); -Grease (1978)"`), or events.
        as_of: Time of the question in seconds; nothing at or after it is used. None means now; for an item that the user has judged
            already, just before that.
    """

    item_id: str
    user_id: str | None = None
    history: str | list[log.Event] | None = None
    as_of: int | None = None


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

    Make one with `from_run`. Built from parts of your own, it answers as `Recommender.recommend` does where the parts are those of a run.

    Args:
        retriever: CAR; all users that it finds are told as counts.
        reranker: SARE.
        describer: Tells the history in words.
        builder: Writes the prompt.
        predictor: Gives P(like).
        interactions: Where users' histories and the catalogue are looked up.
        rerank_top_k: How many of the found users the reranker reads (Ke); None means all.
        timeout: Seconds, or None for no limit.
    """

    def __init__(
        self,
        retriever: CollaborativeRetriever,
        reranker: SelfAssessingReranker,
        describer: Describer,
        builder: PromptBuilder,
        predictor: Predictor,
        interactions: Interactions,
        *,
        rerank_top_k: int | None = None,
        timeout: float | None = None,
    ) -> None:
        super().__init__(timeout=timeout)
        self.retriever = retriever
        self.reranker = reranker
        self.describer = describer
        self.builder = builder
        self.predictor = predictor
        self.interactions = interactions
        self.rerank_top_k = rerank_top_k
        self.provenance: dict[str, str] = {}

    @classmethod
    def from_run(cls, run: Run | Pipeline | Path | str, *, timeout: float | None = None) -> Self:
        """The workflow of a finished run, with the run's own numbers of users to retrieve, to rerank and to keep.

        All parts are loaded now, so that no question waits for them; inside an event loop call it with `asyncio.to_thread`. Retrieval is
        exact, as in `recommend`, however many users there are.

        Args:
            run: An open run, a pipeline, its name, or the path of its file.
            timeout: Seconds a question may take, or None for no limit.

        Raises:
            InputError: There is no such pipeline.
            StageError: A stage of the run is not finished.
        """
        opened = run if isinstance(run, Run) else Run.open(run, stages=STAGES)
        flow = cls(
            _exact_retriever(opened),
            opened.reranker,
            opened.describer,
            opened.builder,
            opened.predictor,
            opened.histories,
            rerank_top_k=opened.pipeline.retriever.similarity_top_k,
            timeout=timeout,
        )
        flow.provenance = opened.provenance
        return flow

    @step
    async def retrieve(self, context: Context, asked: QuestionEvent) -> RetrievedEvent:
        """Look the question up, and find similar users."""
        context.write_event_to_stream(asked)
        found, query = await asyncio.to_thread(self._look_up, asked)
        # Somebody without any history is like nobody: the question is asked without other users.
        nodes = await self.retriever.aretrieve(query) if query.query_str else []
        retrieved = RetrievedEvent(asked=found, query=query.query_str, nodes=nodes)
        context.write_event_to_stream(retrieved)
        return retrieved

    @step
    async def rerank(self, context: Context, found: RetrievedEvent) -> RerankedEvent:
        """Keep the few that help with the item."""
        near = found.nodes[: self.rerank_top_k]
        query = UserQuery(found.query, target=describe_item(found.asked.item))
        kept = await self.reranker.apostprocess_nodes(near, query_bundle=query) if near else []
        reranked = RerankedEvent(asked=found.asked, kept=kept, retrieved=found.nodes)
        context.write_event_to_stream(reranked)
        return reranked

    @step
    async def predict(self, found: RerankedEvent) -> AnsweredEvent:
        """Ask the language model. (The last event streams itself.)"""
        recommendation = await asyncio.to_thread(self._answer, found)
        return AnsweredEvent(recommendation=recommendation, kept=found.kept, retrieved=found.retrieved)

    def _look_up(self, asked: QuestionEvent) -> tuple[FoundQuestion, UserQuery]:
        found = find_question(self.interactions, asked.user_id, asked.item_id, history=asked.history, as_of=asked.as_of)
        question = found.question
        text = self.describer.describe(visible_history(question.history, self.builder.kind))
        return found, UserQuery(text, user_id=question.user_id, as_of=question.as_of)

    def _answer(self, found: RerankedEvent) -> Recommendation:
        hits = {node.node_id: _hit(node) for node in found.retrieved}
        kept = tuple((hits[node.node_id], float(node.score or 0.0)) for node in found.kept)
        context = RetrievedContext(tuple(hits.values()), kept)
        (prompt,) = prompts(self.builder, [found.asked.question], [context])
        (answer,) = self.predictor.score([prompt])
        return explain(found.asked, context, answer, prompt=prompt, witnesses=self.builder.witnesses, parts=self.provenance)


def _exact_retriever(run: Run) -> CollaborativeRetriever:
    """The run's retriever with a view of the index that never asks the approximate store."""
    index = copy.copy(run.index)
    index.exact_below = sys.maxsize
    return CollaborativeRetriever(index, run.encoder, similarity_top_k=run.retriever.similarity_top_k)


def _hit(node: NodeWithScore) -> Hit:
    facts = node.metadata
    return Hit(facts["user_id"], node.node_id, node.text, float(node.score or 0.0), facts["known_until"], facts["events"])
