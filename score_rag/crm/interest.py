"""DIN's network: what of a history has to do with the item in question, by their vectors, genres and years."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from score_rag.data.log import Item

if TYPE_CHECKING:
    import torch

__all__ = ["content_of", "interest_network"]

_MOST_GENRES = 64


def content_of(items: Iterable[Item]) -> np.ndarray:
    """float32 [items + 1, genres + 1]: genres by rarity, at unit length; and the year, in decades from 2000 (the mean's, where unknown).

    Row 0 is padding. Of many genres the most frequent 64 are kept.
    """
    items = list(items)
    count: dict[str, int] = {}
    for item in items:
        for genre in item.genres:
            count[genre] = count.get(genre, 0) + 1
    column = {genre: place for place, genre in enumerate(sorted(count, key=lambda name: (-count[name], name))[:_MOST_GENRES])}
    out = np.zeros((len(items) + 1, len(column) + 1), dtype=np.float32)
    years = [item.year for item in items if item.year is not None]
    middle = float(np.mean(years)) if years else 2000.0
    for row, item in enumerate(items, start=1):
        for genre in item.genres:
            if genre in column:
                out[row, column[genre]] = np.log((len(items) + 1) / (count[genre] + 1)) + 0.1
        out[row, -1] = ((middle if item.year is None else item.year) - 2000.0) / 10
    length = np.linalg.norm(out[:, :-1], axis=1, keepdims=True)
    out[:, :-1] /= np.maximum(length, 1e-6)
    return out


def interest_network(counts: np.ndarray, content: np.ndarray, *, dim: int, heads: int, dropout: float) -> torch.nn.Module:
    """An untrained network.

    Args:
        counts: float32 [items + 1, 2], as of `rates.item_counts`.
        content: As of `content_of`.
        heads: Ways of looking at a history.
    """
    import torch
    from torch import nn

    from score_rag.crm.rates import like_rates

    class Network(nn.Module):
        """(Histories [h, length] of signed items, row of each pair's history [n], items [n], counts [n, 3]) to logits [n]."""

        content: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.items = nn.Embedding(len(counts), dim, padding_idx=0)
            self.bias = nn.Embedding(len(counts), 1, padding_idx=0)
            self.told = nn.Linear(content.shape[1], dim, bias=False)
            self.register_buffer("content", torch.from_numpy(content))
            self.rates = like_rates(counts)
            self.near = nn.Linear(5, heads)
            self.activation = nn.Sequential(nn.Linear(dim + 5, 16), nn.GELU(), nn.Linear(16, heads, bias=False))
            last = nn.Linear(32, 1)
            self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(3 * dim + heads + 4, 32), nn.GELU(), nn.Dropout(dropout), last)
            self.evidence = nn.Parameter(torch.ones(heads))
            self.dropout = nn.Dropout(dropout)
            nn.init.normal_(self.items.weight[1:], std=0.05)
            nn.init.zeros_(self.bias.weight)
            # The score starts as what like-rates and evidence say.
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

        def vectors(self) -> torch.Tensor:
            """[items + 1, dim]: what is learned of an item by itself, and by its genres and year. Row 0 is zeros."""
            return self.items.weight + self.told(self.content) * (self.content.abs().sum(1, keepdim=True) > 0)

        def surprise(self, ids: torch.Tensor) -> torch.Tensor:
            """What each verdict adds to its item's like-rate, [n, length]: 1 - rate or -rate."""
            rates = torch.sigmoid(self.rates.middle + self.rates.item(ids.abs())).detach()
            return (ids > 0).float() - rates

        def values(self, ids: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
            """[n, length, dim]."""
            return vectors[ids.abs()] * self.surprise(ids)[..., None]

        def weights(self, ids: torch.Tensor, target: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
            """Attention [n, length + 1, heads]: sums to 1, 0 at padding; the last place is for looking away, all there is to an empty history."""
            keys, asked = vectors[ids.abs()], vectors[target][:, None]
            theirs, mine = self.content[ids.abs()], self.content[target][:, None]
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
            vectors = self.dropout(self.vectors())
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
