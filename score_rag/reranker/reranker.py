"""SARE at work: a LlamaIndex node post-processor that keeps the few behaviours that help with the item in question."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from score_rag.errors import InputError, ModelError
from score_rag.files import read_json
from score_rag.onnx import OnnxModel, TextTokenizer, length_buckets
from score_rag.progress import Report, silent

__all__ = ["SelfAssessingReranker", "rerank_text"]

_dispatcher = get_dispatcher(__name__)


def rerank_text(history: str, target: str | None) -> str:
    """What the cross-encoder reads of a question: the item first, so that a long history cannot cut it off.

    >>> rerank_text("Liked: Ronin (1998).", "Heat (1995). Crime.")
    'Will this user like Heat (1995). Crime. Liked: Ronin (1998).'
    """
    return f"Will this user like {target} {history}".strip() if target else history


class SelfAssessingReranker(BaseNodePostprocessor):
    """The Self-Assessing Reranker (SARE) of SCORE: a cross-encoder taught by a language model's own assessments.

    At inference it reads the question and each behaviour, and no assessment. Nodes come back fresh, best first, `score` the cross-encoder's
    logit and `metadata["retriever_score"]` what the retriever gave.

    Attributes:
        top_n: How many nodes to keep (the paper's Ks).
        model_folder: Where the model is.
    """

    top_n: int = Field(default=2, ge=1, description="How many nodes to keep.")
    model_folder: str = Field(description="Folder of the trained cross-encoder.")
    _model: Any = PrivateAttr()
    _tokenizer: Any = PrivateAttr()

    def __init__(self, model_folder: Path | str, *, top_n: int = 2, max_tokens: int = 192, **more: Any) -> None:
        super().__init__(model_folder=str(model_folder), top_n=top_n, **more)
        self._model = OnnxModel(Path(model_folder) / "model.onnx")
        self._tokenizer = TextTokenizer(model_folder, max_tokens=max_tokens)

    @classmethod
    def from_pretrained(cls, folder: Path | str, *, top_n: int | None = None) -> SelfAssessingReranker:
        """Open a finished reranker folder, such as `runs/sample/reranker`.

        Raises:
            ModelError: There is no reranker in the folder.
        """
        folder = Path(folder)
        if not (folder / "reranker.json").is_file():
            raise ModelError("there is no trained reranker here", where=folder, hint="score-rag run PIPELINE --until reranker")
        settings = read_json(folder / "reranker.json")
        return cls(folder / "model", top_n=top_n or int(settings["top_n"]), max_tokens=int(settings["max_tokens"]))

    @classmethod
    def class_name(cls) -> str:
        return "SelfAssessingReranker"

    def score_pairs(self, queries: Sequence[str], behaviours: Sequence[str], *, report: Report = silent) -> np.ndarray:
        """Logits, float32 [n], of (question, behaviour) pairs; equal pairs are computed once."""
        pairs = list(zip(queries, behaviours, strict=True))
        unique = list(dict.fromkeys(pairs))
        out = np.zeros(len(unique), dtype=np.float32)
        encodings = self._tokenizer.encode(unique) if unique else []
        done = 0
        for batch in length_buckets([len(encoding.ids) for encoding in encodings]):
            out[batch] = self._model.run(self._tokenizer.pad([encodings[row] for row in batch]))
            done += len(batch)
            report("reranking", done, len(unique))
        place = {pair: row for row, pair in enumerate(unique)}
        return out[[place[pair] for pair in pairs]] if pairs else out

    def _postprocess_nodes(self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None) -> list[NodeWithScore]:
        if query_bundle is None:
            raise InputError(
                "the reranker needs the question", expected="a query bundle", hint="postprocess_nodes(nodes, query_bundle=...)"
            )
        if not nodes:
            return []
        _dispatcher.event(
            ReRankStartEvent(query=query_bundle, nodes=nodes, top_n=self.top_n, model_name=Path(self.model_folder).parent.name)
        )
        asked = rerank_text(query_bundle.query_str, getattr(query_bundle, "target", None))
        scores = self.score_pairs([asked] * len(nodes), [node.node.get_content() for node in nodes])
        order = np.argsort(-scores, kind="stable")[: self.top_n]
        kept = [_fresh(nodes[place], float(scores[place])) for place in order]
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
