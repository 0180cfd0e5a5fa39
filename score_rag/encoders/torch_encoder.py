"""A trained encoder in torch, for many texts at once: on a GPU, or in bfloat16, where serving's onnxruntime has neither."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from score_rag.encoders.encoder import Encoder, TextEncoder
from score_rag.files import check_sealed
from score_rag.inference.onnx import TextTokenizer, each_once
from score_rag.inference.precision import fast_bfloat16
from score_rag.inference.quiet import quiet
from score_rag.progress import Report, silent

__all__ = ["BulkEncoder", "indexing_encoder", "inputs_of"]

_TOKENS_CPU = 4096
_TOKENS_GPU = 65_536


def indexing_encoder(folder: Path | str, *, dtype: str = "float32") -> Encoder:
    """What embeds an index's documents fastest on this machine: by torch where it is installed and there is a GPU or native bfloat16.

    Its vectors may be compared with those of `TextEncoder`.

    Args:
        folder: A trained encoder.
        dtype: `float32`, or `bfloat16` (cosine .9999 to float32), which is taken only where the machine multiplies it natively.
    """
    if find_spec("torch") is None:
        return TextEncoder(folder)
    import torch

    half = dtype == "bfloat16" and fast_bfloat16()
    if half or torch.cuda.is_available():
        return BulkEncoder(folder, dtype="bfloat16" if half else "float32")
    return TextEncoder(folder)


class BulkEncoder:
    """Texts to unit vectors, by torch.

    Args:
        folder: A trained encoder.
        dtype: `float32` or `bfloat16`.
    """

    def __init__(self, folder: Path | str, *, dtype: str = "float32") -> None:
        import torch
        from transformers import AutoModel

        check_sealed(folder)
        serving = TextEncoder(folder)
        self.fingerprint = serving.fingerprint
        self.dimension = serving.dimension
        self._pooling = serving.pooling
        self._tokenizer = TextTokenizer(folder, max_tokens=serving.max_tokens)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        with quiet():
            network: Any = AutoModel.from_pretrained(str(folder), dtype=getattr(torch, dtype), local_files_only=True)
        self._network = network.to(self._device).eval()
        self._inputs = set(self._tokenizer.pad(self._tokenizer.encode(["a"]))) & inputs_of(network)

    def encode(self, texts: Sequence[str], *, report: Report = silent) -> np.ndarray:
        """float32 [len(texts), dimension], each of length 1; equal texts are computed once."""
        import torch

        tokens = _TOKENS_CPU if self._device == "cpu" else _TOKENS_GPU
        with torch.inference_mode():
            return each_once(
                texts, self._tokenizer, self._vectors, shape=(self.dimension,), tokens=tokens, doing="embedding behaviour", report=report
            )

    def _vectors(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        import torch
        from torch.nn.functional import normalize

        fed = {name: torch.from_numpy(inputs[name]).to(self._device) for name in self._inputs}
        states = self._network(**fed).last_hidden_state.float()
        mask = fed["attention_mask"][..., None].float()
        pooled = states[:, 0] if self._pooling == "cls" else (states * mask).sum(dim=1) / mask.sum(dim=1)
        unit: np.ndarray = normalize(pooled, dim=1).cpu().numpy()
        return unit

    async def aencode(self, texts: Sequence[str]) -> np.ndarray:
        """`encode`, without blocking the event loop."""
        return await asyncio.to_thread(self.encode, texts)


def inputs_of(network: Any) -> set[str]:
    """Names of what a network's forward takes."""
    import inspect

    return set(inspect.signature(network.forward).parameters)
