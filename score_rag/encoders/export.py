"""A trained encoder in the form that is served: `model.onnx`, and `serving.json` that says how to use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from score_rag.errors import ModelError
from score_rag.extras import names_extras
from score_rag.files import digest_file, digest_json, write_json
from score_rag.inference.export import export_onnx

__all__ = ["export_encoder", "fingerprint_of", "open_model", "pooling_of"]


@names_extras()
def open_model(base: Path, *, max_tokens: int, device: str = "cpu") -> Any:
    """A published encoder as a sentence transformer, as it will be served.

    A hub's half-precision weights are taken as float32; a prompt that only sentence-transformers' own `encode` would add is left away.

    Raises:
        ModelError: It makes its vectors in a way that is not served.
    """
    from sentence_transformers import SentenceTransformer

    model: Any = SentenceTransformer(str(base), local_files_only=True, device=device)
    pooling_of(model, base)
    model.float()
    model.default_prompt_name = None
    model.max_seq_length = max_tokens
    return model


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


def fingerprint_of(folder: Path, max_tokens: int, pooling: str) -> str:
    """What two encoders must share to have made vectors that may be compared."""
    return digest_json({"weights": digest_file(folder / "model.safetensors"), "max_tokens": max_tokens, "pooling": pooling})[:32]
