"""The trained cross-encoder, served by onnxruntime: how much a behaviour helps with a question."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from score_rag.files import part_folder, read_json
from score_rag.inference.onnx import OnnxModel, TextTokenizer, each_once
from score_rag.progress import Report, silent

__all__ = ["PairScorer", "Scorer", "rerank_text"]


def rerank_text(history: str, target: str | None) -> str:
    """What the cross-encoder reads of a question: the item first, so that a long history cannot cut it off.

    >>> rerank_text("Liked: Ronin (1998).", "Heat (1995). Crime.")
    'Will this user like Heat (1995). Crime. Liked: Ronin (1998).'
    """
    return f"Will this user like {target} {history}".strip() if target else history


class Scorer(Protocol):
    """What says how much a behaviour helps with a question."""

    def score_pairs(self, queries: Sequence[str], behaviours: Sequence[str], *, report: Report = silent) -> np.ndarray:
        """Logits, float32 [n], of (question, behaviour) pairs."""


class PairScorer:
    """Scores (question, behaviour) pairs.

    Args:
        folder: Holds `model.onnx` and `tokenizer.json`.
        max_tokens: Longer pairs are cut.

    Raises:
        ModelError: A file is missing or broken.
    """

    def __init__(self, folder: Path | str, *, max_tokens: int) -> None:
        self.folder = Path(folder)
        self.max_tokens = max_tokens
        self._model = OnnxModel(self.folder / "model.onnx")
        self._tokenizer = TextTokenizer(folder, max_tokens=max_tokens)

    def __repr__(self) -> str:
        return f"PairScorer({str(self.folder)!r}, {self.max_tokens} tokens)"

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> PairScorer:
        """Open a finished reranker folder, such as `runs/sample/reranker`, or the one of a run (`runs/sample`).

        Raises:
            ModelError: There is no reranker in the folder.
        """
        folder = part_folder(folder, "reranker")
        return cls(folder / "model", max_tokens=int(read_json(folder / "reranker.json")["max_tokens"]))

    def score_pairs(self, queries: Sequence[str], behaviours: Sequence[str], *, report: Report = silent) -> np.ndarray:
        """Logits, float32 [n], of (question, behaviour) pairs; equal pairs are computed once."""
        pairs = list(zip(queries, behaviours, strict=True))
        return each_once(pairs, self._tokenizer, self._model.run, doing="reranking", report=report)
