"""SARE as a LangChain document compressor: it keeps the few behaviours that help with the item in question."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import ConfigDict, Field

from score_rag.arguments import read_text
from score_rag.files import part_folder, read_json
from score_rag.reranker.passing import IfMissing, open_or_pass
from score_rag.reranker.scorer import PairScorer
from score_rag.reranker.settings import RerankerSettings

__all__ = ["SelfAssessingCompressor"]

_TOP_N = RerankerSettings().top_n


class SelfAssessingCompressor(BaseDocumentCompressor):
    """Documents in, the most helpful ones out, best first: copies with the cross-encoder's logit as `metadata["relevance_score"]`.

    The query is a behaviour in words. The item in question is said once, `compressor.for_item("Heat (1995). Crime.")`, since LangChain
    passes a text alone; without it the cross-encoder reads the behaviour alone.

    Attributes:
        scorer: A `PairScorer`; None passes documents through in the order they came, with `metadata["reranked"]` False.
        top_n: How many documents to keep (the paper's Ks).
        target: The item in words.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    scorer: Any = Field(description="A PairScorer.", exclude=True)
    top_n: int = Field(default=_TOP_N, ge=1, description="How many documents to keep.")
    target: str | None = Field(default=None, description="The item in question in words.")

    @classmethod
    def from_pretrained(
        cls, folder: Path | str, *, top_n: int | None = None, target: str | None = None, if_missing: IfMissing = "raise"
    ) -> SelfAssessingCompressor:
        """Open a finished reranker folder, such as `runs/sample/reranker`, or the one of a run (`runs/sample`).

        Args:
            if_missing: Without a model, `raise`, or warn once and `pass` documents through.

        Raises:
            ModelError: There is no reranker in the folder, or it cannot be read, and `if_missing` is `raise`.
        """

        def read() -> tuple[PairScorer, int]:
            found = part_folder(folder, "reranker")
            return PairScorer.from_pretrained(found), int(read_json(found / "reranker.json")["top_n"])

        scorer, kept = open_or_pass(read, if_missing) or (None, _TOP_N)
        return cls(scorer=scorer, top_n=kept if top_n is None else top_n, target=target)

    def for_item(self, target: str) -> SelfAssessingCompressor:
        """The same for another item; the model is shared."""
        return self.model_copy(update={"target": read_text(target, where="target")})

    def compress_documents(self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None) -> list[Document]:
        """The `top_n` most helpful documents, best first."""
        if not documents:
            return []
        if self.scorer is None:
            return [_flagged(document) for document in documents[: self.top_n]]
        texts = self.scorer.texts
        asked = texts.ask(read_text(query, where="the query"), self.target)
        told = [texts.tell(document.page_content, target=self.target) for document in documents]
        scores = self.scorer.score_pairs([asked] * len(documents), told)
        best = np.argsort(-scores, kind="stable")[: self.top_n].tolist()
        return [_scored(documents[place], float(scores[place])) for place in best]

    async def acompress_documents(self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None) -> list[Document]:
        """`compress_documents`, without blocking the event loop."""
        return await asyncio.to_thread(self.compress_documents, documents, query, callbacks)


def _scored(document: Document, score: float) -> Document:
    return document.model_copy(update={"metadata": {**document.metadata, "relevance_score": score, "reranked": True}})


def _flagged(document: Document) -> Document:
    return document.model_copy(update={"metadata": {**document.metadata, "reranked": False}})
