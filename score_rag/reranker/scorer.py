"""The trained cross-encoder, served by onnxruntime: how much a behaviour helps with a question."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from score_rag.files import check_sealed, part_folder, read_json
from score_rag.inference.onnx import OnnxModel, TextTokenizer, each_once
from score_rag.progress import Report, silent
from score_rag.reranker.pair_texts import PairTexts

__all__ = ["PairScorer", "Scorer"]


class Scorer(Protocol):
    """What says how much a behaviour helps with a question.

    Attributes:
        texts: Writes both sides of a pair.
    """

    @property
    def texts(self) -> PairTexts: ...

    def score_pairs(self, queries: Sequence[str], behaviours: Sequence[str], *, report: Report = silent) -> np.ndarray:
        """Logits, float32 [n], of (question, behaviour) pairs."""


class PairScorer:
    """Scores (question, behaviour) pairs.

    Args:
        folder: Holds `model.onnx`, `tokenizer.json`, and the prompts of both sides.
        max_tokens: Longer pairs are cut.

    Raises:
        ModelError: A file is missing or broken.
    """

    def __init__(self, folder: Path | str, *, max_tokens: int) -> None:
        self.folder = Path(folder)
        self.max_tokens = max_tokens
        check_sealed(self.folder, served=True)
        self.texts = PairTexts.read(self.folder)
        self._model = OnnxModel(self.folder / "model.onnx")
        self._tokenizer = TextTokenizer(folder, max_tokens=max_tokens)

    def __reduce__(self) -> tuple[Any, ...]:
        # A session and compiled prompts cannot be copied; the folder can be opened again.
        return partial(PairScorer, max_tokens=self.max_tokens), (self.folder.absolute(),)

    def __repr__(self) -> str:
        return f"PairScorer({str(self.folder)!r}, {self.max_tokens} tokens)"

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> PairScorer:
        """Open a finished reranker folder, such as `runs/sample/reranker`, or the one of a run (`runs/sample`).

        Raises:
            ModelError: There is no reranker in the folder.
        """
        folder = part_folder(folder, "reranker")
        check_sealed(folder, served=True)
        return cls(folder / "model", max_tokens=int(read_json(folder / "reranker.json")["max_tokens"]))

    def score_pairs(self, queries: Sequence[str], behaviours: Sequence[str], *, report: Report = silent) -> np.ndarray:
        """Logits, float32 [n], of (question, behaviour) pairs; equal pairs are computed once."""
        pairs = list(zip(queries, behaviours, strict=True))
        return each_once(pairs, self._tokenizer, self._model.run, doing="reranking", report=report)
