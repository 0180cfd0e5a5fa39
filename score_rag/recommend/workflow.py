"""The flow for one question as a LlamaIndex Workflow: retrieve (CAR), rerank (SARE), ask the language model.

Use it in an app that already runs workflows; stream its events to show what happens. For many questions at once use the batch route
(`score_rag.context.finder`), which gives the same answers.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from llama_index.core.schema import NodeWithScore
from pydantic import Field
from workflows import Context, Workflow, step
from workflows.events import Event, StartEvent, StopEvent

from score_rag.context.prompt import Behaviour, PromptBuilder, visible_history
from score_rag.documents.describer import Describer, describe_item
from score_rag.retriever.retriever import CollaborativeRetriever, UserQuery

if TYPE_CHECKING:
    from score_rag.predictor.predictor import Predictor
    from score_rag.reranker.reranker import SelfAssessingReranker

__all__ = ["Answered", "Asked", "RecommendWorkflow", "Reranked", "Retrieved"]


class Asked(StartEvent):
    """A question: will this user like this item?

    Attributes:
        user_id: A user of the data, or None for somebody who is not in it.
        item_id: The item in question.
        history: The user's events strictly before the question, oldest first.
        as_of: Time of the question in seconds; nothing at or after it is used. None means now.
    """

    item_id: str
    user_id: str | None = None
    history: list[Any] = Field(default_factory=list)
    as_of: int | None = None


class Retrieved(Event):
    """Users that CAR found."""

    query: Any
    nodes: list[NodeWithScore]


class Reranked(Event):
    """The few that SARE kept."""

    kept: list[NodeWithScore]
    retrieved: list[NodeWithScore]


class Answered(StopEvent):
    """The answer, and everything it rests on."""

    answer: Any
    prompt: str
    kept: list[NodeWithScore]
    retrieved: list[NodeWithScore]


class RecommendWorkflow(Workflow):
    """Asked → Retrieved → Reranked → Answered.

    Args:
        retriever: CAR; all that it finds is the crowd.
        reranker: SARE.
        describer: Tells the history in words.
        builder: Writes the prompt.
        predictor: Gives P(like).
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
        self.rerank_top_k = rerank_top_k

    @step
    async def retrieve(self, context: Context, asked: Asked) -> Retrieved:
        await context.store.set("asked", asked)
        text = self.describer.describe(visible_history(asked.history, self.builder.kind))
        target = describe_item(self.builder.catalogue[asked.item_id])
        query = UserQuery(text, user_id=asked.user_id, as_of=asked.as_of, target=target)
        # Somebody without any history is like nobody: the question is asked without other users.
        return Retrieved(query=query, nodes=await self.retriever.aretrieve(query) if text else [])

    @step
    async def rerank(self, found: Retrieved) -> Reranked:
        near = found.nodes[: self.rerank_top_k]
        kept = await self.reranker.apostprocess_nodes(near, query_bundle=found.query) if near else []
        return Reranked(kept=kept, retrieved=found.nodes)

    @step
    async def predict(self, context: Context, found: Reranked) -> Answered:
        asked: Asked = await context.store.get("asked")
        prompt = self.builder.build(
            asked.history,
            asked.item_id,
            neighbours=[Behaviour(node.metadata["user_id"], node.text) for node in found.kept],
            retrieved=[node.metadata["user_id"] for node in found.retrieved],
            as_of=asked.as_of,
        )
        answers = await asyncio.to_thread(self.predictor.score, [prompt])
        return Answered(answer=answers[0], prompt=prompt, kept=found.kept, retrieved=found.retrieved)
