"""A trained encoder in the form that is served: `model.onnx`, and `serving.json` that says how to use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from score_rag.errors import ModelError
from score_rag.files import write_json
from score_rag.onnx import export_onnx
from score_rag.retriever.encoder import fingerprint_of

__all__ = ["export_encoder", "pooling_of"]


def export_encoder(model: Any, out: Path, *, max_tokens: int) -> None:
    """Write `model.onnx` and `serving.json` beside a saved sentence transformer."""
    import torch

    mode = pooling_of(model, out)
    network = model[0].model

    class States(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.network(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state  # type: ignore[no-any-return]

    example = {"input_ids": torch.full((2, 8), 5), "attention_mask": torch.ones((2, 8), dtype=torch.long)}
    export_onnx(States(), example, out / "model.onnx", output="states")
    dimension = int(network.config.hidden_size)
    fingerprint = fingerprint_of(out, max_tokens, mode)
    write_json(out / "serving.json", {"max_tokens": max_tokens, "pooling": mode, "dimension": dimension, "fingerprint": fingerprint})


def pooling_of(model: Any, where: Path) -> str:
    """`mean` or `cls`; whatever else stands between the states and a vector of length 1 is refused, for it would not be served.

    Raises:
        ModelError: It is of another kind.
    """
    found = [type(module).__name__ for module in model]
    mode = model[1].get_config_dict().get("pooling_mode") if found[1:2] == ["Pooling"] else None
    if found not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]) or mode not in ("mean", "cls"):
        raise ModelError(
            "this encoder makes its vectors in a way that is not served",
            where=where,
            expected="a transformer, then pooling (mean or cls)",
            found=", ".join(found) + (f" ({mode})" if mode else ""),
        )
    return str(mode)
