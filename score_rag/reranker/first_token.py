"""A cross-encoder whose last layer computes only what is read of it: the first token, from which the score is made.

The other tokens of the last layer are needed as keys and values alone. So its queries, its output and its feed-forward part, five sixths
of its arithmetic, are computed for one token in place of all: the same score to rounding, in training and serving.
"""

from __future__ import annotations

from pathlib import Path
from types import MethodType
from typing import Any

from score_rag.inference.export import export_onnx

__all__ = ["export_scores", "read_first_token_only"]

_KINDS = ("bert", "roberta", "xlm-roberta", "camembert")
"""Whose layers are BERT's, and whose score is made of the first token."""
_MASKED = ("sdpa", "eager")
"""Forms of attention whose mask is one of [batch, 1, queries, keys]."""


def read_first_token_only(network: Any) -> bool:
    """Change a sequence classifier in place; its weights and their names stay. Returns whether it is of a kind that this is known of."""
    config = network.config
    if config.model_type not in _KINDS or getattr(config, "_attn_implementation", None) not in _MASKED:
        return False
    attention = network.base_model.encoder.layer[-1].attention
    attention.forward = MethodType(_attend_from_first, attention)
    return True


def _attend_from_first(attention: Any, hidden_states: Any, attention_mask: Any = None, **_: Any) -> tuple[Any, None]:
    """BERT's attention for the first token: [batch, 1, dim]."""
    from torch.nn.functional import scaled_dot_product_attention

    own, first = attention.self, hidden_states[:, :1]
    shape = (hidden_states.shape[0], -1, own.num_attention_heads, own.attention_head_size)
    parts = own.query(first), own.key(hidden_states), own.value(hidden_states)
    query, key, value = (part.view(shape).transpose(1, 2) for part in parts)
    told = scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=None if attention_mask is None else attention_mask[:, :, :1],
        dropout_p=own.dropout.p if attention.training else 0.0,
    )
    return attention.output(told.transpose(1, 2).reshape(first.shape[0], 1, -1), first), None


def export_scores(network: Any, path: Path) -> None:
    """Write a cross-encoder's score as ONNX: int64 [batch, length] of ids, mask and types in, float32 [batch] out."""
    import torch

    class Scores(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network.cpu()

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor) -> torch.Tensor:
            output = self.network(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
            return output.logits[:, 0]  # type: ignore[no-any-return]

    ids = torch.full((2, 8), 5)
    example = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    export_onnx(Scores(), example, path, output="scores")
