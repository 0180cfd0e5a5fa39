"""A trained encoder as a LlamaIndex embedding model, for what LlamaIndex builds itself: ingestion pipelines, vector store indexes."""

from __future__ import annotations

from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import PrivateAttr

from score_rag.encoders.encoder import Encoder

__all__ = ["TrainedEmbedding"]


class TrainedEmbedding(BaseEmbedding):
    """Texts and queries to unit vectors, by an encoder of ours.

    Args:
        encoder: Such as `TextEncoder.from_pretrained("runs/sample/retriever/encoder")`.
    """

    _encoder: Encoder = PrivateAttr()

    def __init__(self, encoder: Encoder, **more: Any) -> None:
        super().__init__(**{"model_name": f"score-rag/{encoder.fingerprint}", "embed_batch_size": 256, **more})
        self._encoder = encoder

    @classmethod
    def class_name(cls) -> str:
        return "TrainedEmbedding"

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        found: list[list[float]] = self._encoder.encode(texts).tolist()
        return found

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return (await self._aget_text_embeddings([text]))[0]

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        found: list[list[float]] = (await self._encoder.aencode(texts)).tolist()
        return found

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await self._aget_text_embedding(query)
