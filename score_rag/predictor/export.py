"""A small causal model as ONNX: the logits at the last place, for serving without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["export_last_logits"]


def export_last_logits(model: Any, path: Path) -> None:
    """Save logits-at-the-last-place of a (merged) model; inputs are padded to the left."""
    import torch

    from score_rag.inference.export import export_onnx

    class LastLogits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model.eval()

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            positions = (attention_mask.cumsum(1) - 1).clamp(min=0)
            output = self.model(
                input_ids=input_ids, attention_mask=attention_mask, position_ids=positions, use_cache=False, logits_to_keep=1
            )
            return output.logits[:, -1]  # type: ignore[no-any-return]

    example = {"input_ids": torch.full((2, 16), 5), "attention_mask": torch.ones((2, 16), dtype=torch.long)}
    export_onnx(LastLogits(), example, path, output="logits")
