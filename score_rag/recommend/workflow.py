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
from typing import TYPE_CHECKING, Any, Self

from llama_index.core.schema import NodeWithScore, TextNode
from workflows import Context, Workflow, step

from score_rag.arguments import Time
from score_rag.context.finder import ContextFinder, RetrievedContext
from score_rag.context.writer import QuestionWriter
from score_rag.data.interactions import Interactions
from score_rag.index.reader import Hit
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.run import Run
from score_rag.pipeline.serving_run import ServingRun
from score_rag.pipeline.stages import STAGES
from score_rag.recommend.events import AnsweredEvent, Parts, QuestionEvent, RerankedEvent, RetrievedEvent
from score_rag.recommend.explain import explain
from score_rag.recommend.question import History, find_question
from score_rag.recommend.recommendation import Recommendation

if TYPE_CHECKING:
    from score_rag.predictor.predictor import Predictor

__all__ = ["AnsweredEvent", "QuestionEvent", "RecommendWorkflow", "RerankedEvent", "RetrievedEvent"]


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
        self.predictor = predictor
        self.provenance: dict[str, str] = {}
        self._run: Run | None = None
        # One value, replaced at once: a question that reads it meanwhile gets the parts of before or of after, never some of each.
        self._parts = Parts(finder, writer, interactions)

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
        flow._run, flow._parts = opened, Parts.of(opened)
        flow.provenance = opened.provenance
        return flow

    @property
    def finder(self) -> ContextFinder:
        """Who finds other users now."""
        return self._parts.finder

    @property
    def writer(self) -> QuestionWriter:
        """Who writes prompts now."""
        return self._parts.writer

    @property
    def interactions(self) -> Interactions:
        """Where questions are looked up now."""
        return self._parts.interactions

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of answers should know now."""
        return self._parts.warnings

    def _now(self) -> Parts:
        """The parts to answer from: of the current events, where a run that knows of them is behind this workflow."""
        held = self._run
        if isinstance(held, ServingRun) and (now := held.current()) is not held:
            # Of two questions that notice it, either's is as good.
            parts = Parts.of(now)
            self._run, self._parts = now, parts
            return parts
        return self._parts

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
        parts = self._now()
        found = find_question(parts.interactions, asked.user_id, asked.item_id, history=asked.history, as_of=asked.as_of)
        # Somebody without any history is like nobody; and who is not told need not be found.
        hits = parts.finder.retrieve([found.question])[0] if parts.writer.builder.tells_neighbours else []
        nodes = [_node(hit, hit.score) for hit in hits]
        return RetrievedEvent(asked=found, query=parts.finder.query(found.question), nodes=nodes, _parts=parts)

    def _rerank(self, found: RetrievedEvent) -> RerankedEvent:
        parts = found._parts or self._parts
        context = parts.finder.keep([found.asked.question], [[_hit(node) for node in found.nodes]])[0]
        kept = [_node(hit, score) for hit, score in context.kept]
        return RerankedEvent(asked=found.asked, kept=kept, retrieved=found.nodes, _parts=parts)

    def _answer(self, found: RerankedEvent) -> Recommendation:
        parts = found._parts or self._parts
        hits = {node.node_id: _hit(node) for node in found.retrieved}
        kept = tuple((hits[node.node_id], float(node.score or 0.0)) for node in found.kept)
        (told,) = parts.writer.write([found.asked.question], [RetrievedContext(tuple(hits.values()), kept)])
        (answer,) = self.predictor.score([told.text])
        return explain(found.asked, told, answer, witnesses=parts.writer.witnesses, parts=self.provenance, warnings=parts.warnings)


def _node(hit: Hit, score: float) -> NodeWithScore:
    facts = {"user_id": hit.user_id, "known_until": hit.known_until, "events": hit.events, "similarity": hit.score}
    return NodeWithScore(node=TextNode(id_=hit.document_id, text=hit.text, metadata=facts), score=score)


def _hit(node: NodeWithScore) -> Hit:
    facts = node.metadata
    return Hit(facts["user_id"], node.node_id, node.text, facts["similarity"], facts["known_until"], facts["events"])
