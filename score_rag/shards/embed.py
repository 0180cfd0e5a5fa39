"""The job `embed`: vectors of texts by the run's trained encoder."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

import numpy as np
import polars as pl

from score_rag.encoders.encoder import Encoder
from score_rag.errors import InputError
from score_rag.pipeline.run import Run
from score_rag.shards.job import Answers, Job
from score_rag.shards.source import Source

__all__ = ["EmbedJob", "VectorType", "to_bfloat16"]

VectorType = Literal["float32", "bfloat16"]
_IDS = ("document_id", "id", "user_id", "item_id")


class EmbedJob(Job):
    """Unit vectors, as fixed-size lists. All columns but the text are written too.

    Args:
        run: A run whose retriever is finished.
        source: The texts, in a column `text`; the documents of the run are such a source.
        id: The column that names a row; by default the first of `document_id`, `id`, `user_id`, `item_id`.
        dtype: Of the vectors. Parquet has no bfloat16: its 16 bits are written as `uint16`.

    Raises:
        InputError: The source has no such column.
    """

    name = "embed"
    doing = "embedding"
    stages = ("data", "documents", "retriever")
    drops = ("text",)

    def __init__(self, run: Run, source: Source, *, id: str | None = None, dtype: VectorType = "float32") -> None:
        super().__init__(run, source)
        named = id or next((name for name in _IDS if name in source.schema), None)
        if named is None:
            raise InputError("nothing names the texts", where=source.files[0], expected=f"a column {', '.join(_IDS)}, or --id COLUMN")
        self.dtype = dtype
        source.require((named, "text"), ids=(named,), makes=("vector",))
        if source.schema["text"] != pl.String:
            raise InputError("a column is no text", where=source.files[0], expected="text: String", found=f"text: {source.schema['text']}")
        self.key = (named,)
        # Versions of a user's document lie together, so that whole users can be dropped or renewed.
        self.group = "user_id" if "user_id" in source.schema else named

    @cached_property
    def encoder(self) -> Encoder:
        """The retriever's; by torch where there is a GPU."""
        from score_rag.encoders.torch_encoder import indexing_encoder

        return indexing_encoder(self.run.folder("retriever") / "encoder")

    @property
    def makes(self) -> dict[str, pl.DataType]:
        """`vector`: of length 1."""
        width = int(getattr(self.encoder, "dimension"))  # noqa: B009  # both encoders have it, the protocol does not
        return {"vector": pl.Array(pl.Float32() if self.dtype == "float32" else pl.UInt16(), width)}

    def options(self) -> dict[str, Any]:
        # onnxruntime and torch differ in the last bits.
        return {"dtype": self.dtype, "id": self.key[0], "encoder": self.encoder.fingerprint, "by": type(self.encoder).__name__}

    def answer(self, rows: pl.DataFrame) -> Answers:
        """See `Job.answer`; a row without a text or an id fails."""
        failed = {}
        texts = []
        for place, (named, text) in enumerate(zip(rows[self.key[0]], rows["text"], strict=True)):
            if named is None:
                failed[place] = f"{self.key[0]} is missing"
            elif text is None or not text.strip():
                failed[place] = "the text is empty"
            else:
                texts.append(text)
        dtype = self.makes["vector"]
        if not texts:
            return Answers({"vector": pl.Series([], dtype=dtype)}, failed)
        vectors = self.encoder.encode(texts)
        return Answers({"vector": pl.Series(vectors if self.dtype == "float32" else to_bfloat16(vectors), dtype=dtype)}, failed)


def to_bfloat16(vectors: np.ndarray) -> np.ndarray:
    """The 16 bits of each number in bfloat16, rounded to the nearest (of two as near, to the even one).

    Back: `(bits.astype("uint32") << 16).view("float32")`.

    Args:
        vectors: float32, finite.

    Returns:
        uint16, of the same shape.

    >>> bits = to_bfloat16(np.array([1.0, -0.5, 0.1], dtype=np.float32))
    >>> (bits.astype("uint32") << 16).view("float32").tolist()
    [1.0, -0.5, 0.10009765625]
    """
    whole = np.ascontiguousarray(vectors, dtype=np.float32).view(np.uint32)
    return ((whole + np.uint32(0x7FFF) + (whole >> 16 & 1)) >> 16).astype(np.uint16)
