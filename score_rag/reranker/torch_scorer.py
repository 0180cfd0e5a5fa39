"""The trained cross-encoder in torch, for many pairs at once: on a GPU, or in bfloat16, where serving's onnxruntime has neither."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from score_rag.encoders.torch_encoder import inputs_of
from score_rag.extras import names_extras
from score_rag.files import check_sealed
from score_rag.inference.onnx import TextTokenizer, each_once
from score_rag.inference.precision import fast_bfloat16
from score_rag.inference.quiet import quiet
from score_rag.progress import Report, silent
from score_rag.reranker.first_token import read_first_token_only
from score_rag.reranker.pair_texts import PairTexts
from score_rag.reranker.scorer import PairScorer, Scorer

__all__ = ["BulkScorer", "bulk_scorer"]

_TOKENS_CPU = 4096
_TOKENS_GPU = 65_536


@names_extras()
def bulk_scorer(scorer: PairScorer) -> Scorer:
    """What scores many pairs fastest on this machine: the scorer itself, or one that differs from it by rounding."""
    import torch

    if not (half := fast_bfloat16()) and not torch.cuda.is_available():
        return scorer
    return BulkScorer(scorer.folder, max_tokens=scorer.max_tokens, dtype="bfloat16" if half else "float32")


class BulkScorer:
    """`PairScorer` by torch.

    Args:
        folder: Holds the model, its `tokenizer.json`, and the prompts of both sides.
        max_tokens: Longer pairs are cut.
        dtype: `float32` or `bfloat16`.
    """

    def __init__(self, folder: Path | str, *, max_tokens: int, dtype: str = "float32") -> None:
        import torch
        from transformers import AutoModelForSequenceClassification

        self.folder = Path(folder)
        self.max_tokens = max_tokens
        check_sealed(self.folder)
        self.texts = PairTexts.read(self.folder)
        self._tokenizer = TextTokenizer(folder, max_tokens=max_tokens)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        with quiet():
            network: Any = AutoModelForSequenceClassification.from_pretrained(
                str(folder), dtype=getattr(torch, dtype), local_files_only=True
            )
        read_first_token_only(network)
        self._network = network.to(self._device).eval()
        self._inputs = inputs_of(network)

    def score_pairs(self, queries: Sequence[str], behaviours: Sequence[str], *, report: Report = silent) -> np.ndarray:
        """Logits, float32 [n], of (question, behaviour) pairs; equal pairs are computed once."""
        import torch

        tokens = _TOKENS_CPU if self._device == "cpu" else _TOKENS_GPU
        pairs = list(zip(queries, behaviours, strict=True))
        with torch.inference_mode():
            return each_once(pairs, self._tokenizer, self._logits, tokens=tokens, doing="reranking", report=report)

    def _logits(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        import torch

        fed = {name: torch.from_numpy(inputs[name]).to(self._device) for name in self._inputs & inputs.keys()}
        logits: np.ndarray = self._network(**fed).logits[:, 0].float().cpu().numpy()
        return logits
