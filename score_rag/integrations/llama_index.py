"""A trained encoder as a LlamaIndex embedding model, for what LlamaIndex builds itself: ingestion pipelines, vector store indexes."""

from __future__ import annotations

from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import Field, PrivateAttr

from score_rag.encoders.encoder import Encoder, TextEncoder
from score_rag.errors import InputError, ModelError

__all__ = ["TrainedEmbedding"]


class TrainedEmbedding(BaseEmbedding):
    """Texts and queries to unit vectors, by an encoder of ours.

    Attributes:
        encoder_folder: Where the encoder is, for `from_dict`; None for one that is not on disk.

    Args:
        encoder: Such as `TextEncoder.from_pretrained("runs/sample/retriever/encoder")`. Where it is not given, it is opened from
            `encoder_folder`: so LlamaIndex makes one again out of `to_dict`.

    Raises:
        InputError: There is neither an encoder nor a folder.
        ModelError: The folder holds none, or another encoder than `model_name` says.
    """

    encoder_folder: str | None = Field(default=None, description="Folder of the trained encoder.")
    _encoder: Encoder = PrivateAttr()

    def __init__(self, encoder: Encoder | None = None, *, encoder_folder: str | None = None, **more: Any) -> None:
        if encoder is None:
            encoder = _opened(encoder_folder, more.get("model_name"))
        folder = getattr(encoder, "folder", None)
        where = None if folder is None else str(folder)
        super().__init__(**{"model_name": _name(encoder), "embed_batch_size": 256, **more, "encoder_folder": where})
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


def _name(encoder: Encoder) -> str:
    return f"score-rag/{encoder.fingerprint}"


def _opened(folder: str | None, model_name: str | None) -> Encoder:
    """The encoder that was at a folder when its name was written down."""
    if folder is None:
        raise InputError(
            "an embedding needs an encoder", expected="an encoder, or the folder of a trained one as encoder_folder", found="neither"
        )
    encoder = TextEncoder.from_pretrained(folder)
    if model_name is not None and model_name != _name(encoder):
        raise ModelError(
            "this folder has another encoder now: its vectors mean something else",
            where=folder,
            expected=model_name,
            found=_name(encoder),
        )
    return encoder
