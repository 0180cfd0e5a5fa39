"""SARE at work: a LlamaIndex node post-processor that keeps the few behaviours that help with the item in question."""

from __future__ import annotations

import asyncio
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
from score_rag.reranker.scorer import PairScorer
from score_rag.reranker.settings import RerankerSettings

__all__ = ["SelfAssessingReranker"]

_DEFAULTS = RerankerSettings()
_dispatcher = get_dispatcher(__name__)


class SelfAssessingReranker(BaseNodePostprocessor):
    """The Self-Assessing Reranker (SARE) of SCORE: a cross-encoder taught by a language model's own assessments.

    At inference it reads the question and each behaviour, and no assessment. Nodes come back fresh, best first, `score` the cross-encoder's
    logit and `metadata["retriever_score"]` what the retriever gave.

    Attributes:
        top_n: How many nodes to keep (the paper's Ks).
        model_folder: Where the model is, for those who read events, and for `from_dict`.
        max_tokens: Longer pairs of question and behaviour are cut.

    Args:
        scorer: Where it is not given, it is opened from `model_folder`: so LlamaIndex makes one again out of `to_dict`.
    """

    top_n: int = Field(default=_DEFAULTS.top_n, ge=1, description="How many nodes to keep.")
    model_folder: str = Field(description="Folder of the trained cross-encoder.")
    max_tokens: int = Field(default=_DEFAULTS.max_tokens, ge=1, description="Longer pairs of question and behaviour are cut.")
    _scorer: PairScorer = PrivateAttr()

    def __init__(
        self,
        scorer: PairScorer | None = None,
        *,
        top_n: int = _DEFAULTS.top_n,
        model_folder: str = "",
        max_tokens: int = _DEFAULTS.max_tokens,
        **more: Any,
    ) -> None:
        if scorer is None:
            if not model_folder:
                raise InputError("a reranker needs a model", expected="a scorer, or the folder of one as model_folder")
            scorer = PairScorer(model_folder, max_tokens=max_tokens)
        top_n = read_count(top_n, where="top_n")
        super().__init__(model_folder=str(scorer.folder), top_n=top_n, max_tokens=scorer.max_tokens, **more)
        self._scorer = scorer

    @classmethod
    def from_pretrained(cls, folder: Path | str, *, top_n: int | None = None) -> SelfAssessingReranker:
        """Open a finished reranker folder, such as `runs/sample/reranker`, or the one of a run (`runs/sample`).

        Raises:
            ModelError: There is no reranker in the folder.
        """
        folder = part_folder(folder, "reranker")
        scorer = PairScorer.from_pretrained(folder)
        return cls(scorer, top_n=int(read_json(folder / "reranker.json")["top_n"]) if top_n is None else top_n)

    @classmethod
    def class_name(cls) -> str:
        return "SelfAssessingReranker"

    def _postprocess_nodes(self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None) -> list[NodeWithScore]:
        if query_bundle is None:
            raise InputError(
                "the reranker needs the question", expected="a query bundle", hint="postprocess_nodes(nodes, query_bundle=...)"
            )
        if not nodes:
            return []
        asked = read_text(query_bundle.query_str, where="the query")
        _dispatcher.event(
            ReRankStartEvent(query=query_bundle, nodes=nodes, top_n=self.top_n, model_name=Path(self.model_folder).parent.name)
        )
        kept: list[NodeWithScore] = []
        try:
            target, texts = getattr(query_bundle, "target", None), self._scorer.texts
            told = [texts.tell(node.node.get_content(), target=target) for node in nodes]
            scores = self._scorer.score_pairs([texts.ask(asked, target)] * len(nodes), told)
            order = np.argsort(-scores, kind="stable")[: self.top_n]
            kept = [_fresh(nodes[place], float(scores[place])) for place in order]
        except BaseException as error:
            _dispatcher.event(ExceptionEvent(exception=error))
            raise
        finally:
            # Whoever counts what has begun and not ended must not count failures for ever.
            _dispatcher.event(ReRankEndEvent(nodes=kept))
        return kept

    async def _apostprocess_nodes(self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None) -> list[NodeWithScore]:
        # onnxruntime leaves the interpreter's lock while it works, so a thread keeps the loop free.
        return await asyncio.to_thread(self._postprocess_nodes, nodes, query_bundle)


def _fresh(found: NodeWithScore, score: float) -> NodeWithScore:
    node = found.node
    facts = {**node.metadata, "retriever_score": found.score}
    hidden = {"retriever_score"}
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
