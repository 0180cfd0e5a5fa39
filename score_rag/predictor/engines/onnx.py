"""The bundled Llama with its adapter merged, in onnxruntime: no torch, for a quick first answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from score_rag.inference.onnx import OnnxModel, length_buckets
from score_rag.predictor.answer import Answer, from_logits
from score_rag.predictor.engines.engine import TokenEngine
from score_rag.predictor.engines.torch import pad_left
from score_rag.progress import Report

__all__ = ["OnnxEngine"]


class OnnxEngine(TokenEngine):
    """Scores with an exported model: token ids and mask in, logits at the last place out.

    Args:
        path: `model.onnx`.
        encode: Text to token ids.
        answers: Token ids of Yes and No.
        max_tokens: Longest row.
        batch_tokens: Most tokens in one run.
    """

    def __init__(
        self,
        path: Path,
        encode: Callable[[str], Sequence[int]],
        answers: tuple[int, int],
        *,
        max_tokens: int,
        batch_tokens: int = 8192,
    ) -> None:
        super().__init__(encode, answers, max_tokens)
        self.model = OnnxModel(path)
        self.batch_tokens = batch_tokens

    def score_rows(self, rows: Sequence[list[int]], report: Report) -> list[Answer]:
        """One answer a row."""
        out: dict[int, Answer] = {}
        for batch in length_buckets([len(row) for row in rows], tokens=self.batch_tokens):
            ids, mask = pad_left([rows[row] for row in batch])
            out.update(zip(batch, from_logits(self.model.run({"input_ids": ids, "attention_mask": mask}), *self.answers), strict=True))
            report("asking", len(out), len(rows))
        return [out[row] for row in range(len(rows))]
