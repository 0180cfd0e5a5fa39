"""SASRec's network: causal self-attention over signed items."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

__all__ = ["attention_network"]


def attention_network(
    counts: np.ndarray, content: np.ndarray, *, dim: int, layers: int, heads: int, dropout: float, max_length: int, rates: bool
) -> torch.nn.Module:
    """An untrained network.

    Args:
        counts: float32 [items + 1, 2], as of `judgements.item_counts`.
        content: float32 [items + 1, features], as of `content_of`.
        rates: Whether like-rates are part of the score.
    """
    import torch
    from torch import nn

    from score_rag.crm.content import item_table
    from score_rag.crm.rates import like_rates

    class Network(nn.Module):
        """Tokens [batch, length] (an item's place, negative where disliked; 0 pads the right) to states [batch, length, dim].

        State t has read tokens 0..t.
        """

        def __init__(self) -> None:
            super().__init__()
            self.items = item_table(len(counts), dim, content)
            self.places = nn.Embedding(max_length, dim)
            self.bias = nn.Embedding(len(counts), 1, padding_idx=0)
            self.verdict = nn.Embedding(2, dim)
            self.rates = like_rates(counts) if rates else None
            block = nn.TransformerEncoderLayer(dim, heads, 2 * dim, dropout, activation="gelu", batch_first=True, norm_first=True)
            self.blocks = nn.TransformerEncoder(block, layers, enable_nested_tensor=False)
            self.norm = nn.LayerNorm(dim)
            self.dropout = nn.Dropout(dropout)
            # What a user's state adds to all their scores.
            self.offset = nn.Linear(dim, 1, bias=False)
            for table in (self.places, self.verdict):
                nn.init.normal_(table.weight, std=0.05)
            nn.init.zeros_(self.bias.weight)
            if rates:
                # The score starts as what like-rates say, not as noise over it.
                nn.init.constant_(self.norm.weight, 0.1)
            nn.init.zeros_(self.offset.weight)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            length = ids.shape[1]
            read = self.items()[ids.abs()] * ids.sign()[..., None] + self.verdict((ids > 0).long())
            states = self.dropout(read + self.places(torch.arange(length, device=ids.device)))
            # Padding stands at the right, so the causal mask alone keeps it from being read.
            mask = torch.ones(length, length, dtype=torch.bool, device=ids.device).triu(1)
            out: torch.Tensor = self.norm(self.blocks(states, mask=mask, is_causal=True))
            return out

    return Network()
