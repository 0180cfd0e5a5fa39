"""What items are told of, as numbers: genres and years. An item's vector is its own, learned, plus what is learned of those."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from score_rag.data.log import Item

if TYPE_CHECKING:
    import torch

__all__ = ["content_of", "item_table"]

_MOST_GENRES = 64


def content_of(items: Iterable[Item]) -> np.ndarray:
    """float32 [items + 1, genres + 1]: genres by rarity, at unit length; and the year, in decades from 2000 (the mean's, where unknown).

    Row 0 is padding, and zeros. Of many genres the most frequent 64 are kept.
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


def item_table(rows: int, dim: int, content: np.ndarray, *, std: float = 0.05) -> Any:
    """A module whose call gives all items' vectors, [rows, dim]; row 0, padding, is zeros.

    Args:
        content: float32 [rows, features]; without features, items are known by themselves alone.
        std: Of the untrained vectors.
    """
    import torch
    from torch import nn

    class ItemTable(nn.Module):
        """own + told(content)."""

        content: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.own = nn.Embedding(rows, dim, padding_idx=0)
            self.told = nn.Linear(content.shape[1], dim, bias=False) if content.shape[1] else None
            self.register_buffer("content", torch.from_numpy(np.array(content, dtype=np.float32)))
            nn.init.normal_(self.own.weight[1:], std=std)
            if self.told is not None:
                nn.init.normal_(self.told.weight, std=std)

        def forward(self) -> torch.Tensor:
            table: torch.Tensor = self.own.weight
            return table if self.told is None else table + self.told(self.content)

    return ItemTable()
