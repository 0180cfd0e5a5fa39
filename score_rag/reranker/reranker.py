"""SARE at work: a LlamaIndex node post-processor that keeps the few behaviours that help with the item in question."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.events.exception import ExceptionEvent
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from score_rag.arguments import read_count, read_text
from score_rag.errors import InputError
from score_rag.files import part_folder, read_json
from score_rag.reranker.passing import IfMissing, open_or_pass
from score_rag.reranker.scorer import PairScorer
from score_rag.reranker.settings import RerankerSettings

__all__ = ["SelfAssessingReranker"]

_DEFAULTS = RerankerSettings()
_dispatcher = get_dispatcher(__name__)
_NONE: Any = object()
"""In a scorer's place, where there is none and it has been said."""


class SelfAssessingReranker(BaseNodePostprocessor):
    """The Self-Assessing Reranker (SARE) of SCORE: a cross-encoder taught by a language model's own assessments.

    At inference it reads the question and each behaviour, and no assessment. Nodes come back fresh, best first, `score` the cross-encoder's
    logit and `metadata["retriever_score"]` what the retriever gave.

    A model that is missing or cannot be opened is an error, when it is opened. With `if_missing="pass"` it is a warning, once, and nodes
    pass through in the retriever's order, each with `metadata["reranked"]` False; `reranks` says which of both is so.

    Attributes:
        top_n: How many nodes to keep (the paper's Ks).
        model_folder: Where the model is, for those who read events, and for `from_dict`.
        max_tokens: Longer pairs of question and behaviour are cut.
        if_missing: `raise`, or `pass` nodes through unranked.

    Args:
        scorer: Where it is not given, it is opened from `model_folder`: so LlamaIndex makes one again out of `to_dict`.
    """

    top_n: int = Field(default=_DEFAULTS.top_n, ge=1, description="How many nodes to keep.")
    model_folder: str = Field(description="Folder of the trained cross-encoder.")
    max_tokens: int = Field(default=_DEFAULTS.max_tokens, ge=1, description="Longer pairs of question and behaviour are cut.")
    if_missing: IfMissing = Field(default="raise", description="What to do without a model: raise, or pass nodes through.")
    _scorer: PairScorer | None = PrivateAttr()

    def __init__(
        self,
        scorer: PairScorer | None = None,
        *,
        top_n: int = _DEFAULTS.top_n,
        model_folder: str = "",
        max_tokens: int = _DEFAULTS.max_tokens,
        if_missing: IfMissing = "raise",
        **more: Any,
    ) -> None:
        if scorer is _NONE:
            scorer = None
        elif scorer is None:
            if not model_folder:
                raise InputError("a reranker needs a model", expected="a scorer, or the folder of one as model_folder")
            scorer = open_or_pass(lambda: PairScorer(model_folder, max_tokens=max_tokens), if_missing)
        if scorer is not None:
            model_folder, max_tokens = str(scorer.folder), scorer.max_tokens
        top_n = read_count(top_n, where="top_n")
        super().__init__(model_folder=model_folder, top_n=top_n, max_tokens=max_tokens, if_missing=if_missing, **more)
        self._scorer = scorer

    @classmethod
    def from_pretrained(cls, folder: Path | str, *, top_n: int | None = None, if_missing: IfMissing = "raise") -> SelfAssessingReranker:
        """Open a finished reranker folder, such as `runs/sample/reranker`, or the one of a run (`runs/sample`).

        Raises:
            ModelError: There is no reranker in the folder, or it cannot be read, and `if_missing` is `raise`.
        """

        def read() -> tuple[PairScorer, int]:
            found = part_folder(folder, "reranker")
            return PairScorer.from_pretrained(found), int(read_json(found / "reranker.json")["top_n"])

        opened = open_or_pass(read, if_missing)
        if opened is None:
            return cls._without(str(Path(folder) / "model"), _DEFAULTS.top_n if top_n is None else top_n)
        return cls(opened[0], top_n=opened[1] if top_n is None else top_n, if_missing=if_missing)

    @classmethod
    def _without(cls, model_folder: str, top_n: int) -> SelfAssessingReranker:
        """One that passes nodes through; it has been warned of."""
        return cls(_NONE, top_n=top_n, model_folder=model_folder, if_missing="pass")

    @property
    def reranks(self) -> bool:
        """Whether there is a model; without one, nodes pass through in the retriever's order."""
        return self._scorer is not None

    @classmethod
    def class_name(cls) -> str:
        return "SelfAssessingReranker"

    def postprocess_many(self, nodes: Sequence[list[NodeWithScore]], queries: Sequence[QueryBundle]) -> list[list[NodeWithScore]]:
        """`postprocess_nodes` for many questions at once: the same nodes, in less time, for pairs of like length share a batch.

        Args:
            nodes: [n] lists.
            queries: [n].

        Raises:
            InputError: They are not as many.
        """
        if len(nodes) != len(queries):
            raise InputError("each list of nodes needs its question", expected=f"{len(nodes)} queries", found=len(queries))
        asked = [read_text(query.query_str, where="the query") for query in queries]
        for own, query in zip(nodes, queries, strict=True):
            name = Path(self.model_folder).parent.name
            _dispatcher.event(ReRankStartEvent(query=query, nodes=own, top_n=self.top_n, model_name=name))
        kept: list[list[NodeWithScore]] = [[] for _ in nodes]
        try:
            if self._scorer is None:
                kept = [[_fresh(node, node.score, reranked=False) for node in own[: self.top_n]] for own in nodes]
            else:
                kept = self._ranked(self._scorer, nodes, asked, [getattr(query, "target", None) for query in queries])
        except BaseException as error:
            _dispatcher.event(ExceptionEvent(exception=error))
            raise
        finally:
            # Whoever counts what has begun and not ended must not count failures for ever.
            for own in kept:
                _dispatcher.event(ReRankEndEvent(nodes=own))
        return kept

    async def apostprocess_many(self, nodes: Sequence[list[NodeWithScore]], queries: Sequence[QueryBundle]) -> list[list[NodeWithScore]]:
        """`postprocess_many`, without blocking the event loop."""
        return await asyncio.to_thread(self.postprocess_many, nodes, queries)

    def _postprocess_nodes(self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None) -> list[NodeWithScore]:
        if query_bundle is None:
            raise InputError(
                "the reranker needs the question", expected="a query bundle", hint="postprocess_nodes(nodes, query_bundle=...)"
            )
        return self.postprocess_many([nodes], [query_bundle])[0] if nodes else []

    def _ranked(
        self, scorer: PairScorer, nodes: Sequence[list[NodeWithScore]], asked: Sequence[str], targets: Sequence[str | None]
    ) -> list[list[NodeWithScore]]:
        texts = scorer.texts
        questions = [texts.ask(query, target) for query, target in zip(asked, targets, strict=True)]
        told = [texts.tell(node.node.get_content(), target=target) for own, target in zip(nodes, targets, strict=True) for node in own]
        repeated = [question for own, question in zip(nodes, questions, strict=True) for _ in own]
        scores = np.split(scorer.score_pairs(repeated, told), np.cumsum([len(own) for own in nodes])[:-1])
        kept = []
        for own, theirs in zip(nodes, scores, strict=True):
            order = np.argsort(-theirs, kind="stable")[: self.top_n]
            kept.append([_fresh(own[place], float(theirs[place]), reranked=True) for place in order])
        return kept

    async def _apostprocess_nodes(self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None) -> list[NodeWithScore]:
        # onnxruntime leaves the interpreter's lock while it works, so a thread keeps the loop free.
        return await asyncio.to_thread(self._postprocess_nodes, nodes, query_bundle)


def _fresh(found: NodeWithScore, score: float | None, *, reranked: bool) -> NodeWithScore:
    node = found.node
    facts = {**node.metadata, "retriever_score": found.score, "reranked": reranked}
    hidden = {"retriever_score", "reranked"}
    return NodeWithScore(
        node=TextNode(
            id_=node.node_id,
            text=node.get_content(),
            metadata=facts,
            excluded_embed_metadata_keys=sorted({*node.excluded_embed_metadata_keys, *hidden}),
            excluded_llm_metadata_keys=sorted({*node.excluded_llm_metadata_keys, *hidden}),
        ),
        score=score,
    )
