"""DIN's network: what of a history has to do with the item in question, by their vectors, genres and years."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

__all__ = ["interest_network"]


def interest_network(counts: np.ndarray, content: np.ndarray, *, dim: int, heads: int, dropout: float) -> torch.nn.Module:
    """An untrained network.

    Args:
        counts: float32 [items + 1, 2], as of `judgements.item_counts`.
        content: float32 [items + 1, features], as of `content_of`.
        heads: Ways of looking at a history.
    """
    import torch
    from torch import nn

    from score_rag.crm.content import item_table
    from score_rag.crm.rates import like_rates

    class Network(nn.Module):
        """(Histories [h, length] of signed items, row of each pair's history [n], items [n], counts [n, 3]) to logits [n]."""

        def __init__(self) -> None:
            super().__init__()
            self.items = item_table(len(counts), dim, content)
            self.bias = nn.Embedding(len(counts), 1, padding_idx=0)
            self.rates = like_rates(counts)
            self.near = nn.Linear(5, heads)
            self.activation = nn.Sequential(nn.Linear(dim + 5, 16), nn.GELU(), nn.Linear(16, heads, bias=False))
            last = nn.Linear(32, 1)
            self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(3 * dim + heads + 4, 32), nn.GELU(), nn.Dropout(dropout), last)
            self.evidence = nn.Parameter(torch.ones(heads))
            self.dropout = nn.Dropout(dropout)
            nn.init.zeros_(self.bias.weight)
            # The score starts as what like-rates and evidence say.
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

        def surprise(self, ids: torch.Tensor) -> torch.Tensor:
            """What each verdict adds to its item's like-rate, [n, length]: 1 - rate or -rate."""
            rates = torch.sigmoid(self.rates.middle + self.rates.item(ids.abs())).detach()
            return (ids > 0).float() - rates

        def values(self, ids: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
            """[n, length, dim]."""
            return vectors[ids.abs()] * self.surprise(ids)[..., None]

        def weights(self, ids: torch.Tensor, target: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
            """Attention [n, length + 1, heads]: sums to 1, 0 at padding.

            The last place is for looking away; it is all that there is to an empty history.
            """
            keys, asked = vectors[ids.abs()], vectors[target][:, None]
            theirs, mine = self.items.content[ids.abs()], self.items.content[target][:, None]
            genre = (theirs[..., :-1] * mine[..., :-1]).sum(-1)
            apart = (theirs[..., -1] - mine[..., -1]).abs()
            near = torch.stack([genre, genre**2, torch.exp(-2 * apart), torch.exp(-apart / 2), (ids > 0).float()], dim=-1)
            raw = self.near(near) + self.activation(torch.cat([keys * asked, near], dim=-1))
            raw = raw.masked_fill((ids == 0)[..., None], float("-inf"))
            # As much as so many judgements count that nothing was learned from: few that are alike say little.
            away = raw.new_full((len(raw), 1, raw.shape[-1]), float(np.log(3.0)))
            return torch.softmax(torch.cat([raw, away], dim=1).float(), dim=1)

        def forward(
            self, ids: torch.Tensor, row: torch.Tensor, target: torch.Tensor, before: torch.Tensor, label: torch.Tensor | None = None
        ) -> torch.Tensor:
            vectors = self.dropout(self.items())
            history = ids[row]
            weights = self.weights(history, target, vectors)[:, :-1]
            # What the user's rate says already is no evidence of the item.
            surprise = (self.surprise(history) - self.rates.rate(before)[:, None]) * (history != 0)
            evidence = (weights * surprise[..., None]).sum(1)
            interest = ((weights.mean(-1) * surprise)[..., None] * vectors[history.abs()]).sum(1)
            asked = vectors[target]
            own = torch.stack(
                [self.rates.item(target, label), self.rates.user(before), torch.log1p(before[:, 1]) / 5, self.rates.often(target, label)],
                dim=1,
            )
            out = self.head(torch.cat([interest, asked, interest * asked, evidence, own], dim=1))[:, 0]
            logits: torch.Tensor = out + evidence @ self.evidence + self.bias(target)[:, 0] + self.rates(target, before, label)
            return logits

    return Network()
