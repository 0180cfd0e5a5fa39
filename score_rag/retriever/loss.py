"""The contrastive loss of CAR (METHOD: InfoNCE on the conventional recommender's neighbours)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from score_rag.retriever.grad_cache import embed_in_chunks

__all__ = ["NeighbourLoss", "contrastive_loss"]


def contrastive_loss(vectors: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor, temperature: float) -> torch.Tensor:
    """Mean over positive pairs (u, v) of -log( g(u,v) / (g(u,v) + sum of g(u,n) over u's negatives n) ), g = exp(cos / temperature).

    The paper prints the sum over N(u) itself; it is read as a lost complement: negatives are users outside N(u).

    Args:
        vectors: [n, dim], any length; cosines are taken.
        positive: bool [n, n]; row u marks the v in N(u).
        negative: bool [n, n]; row u marks u's negatives. Diagonals are false in both.
        temperature: tau.

    Returns:
        A scalar; 0 where no pair is positive.
    """
    unit = functional.normalize(vectors.float(), dim=1)
    logits = unit @ unit.T / temperature
    rest = torch.logsumexp(logits.masked_fill(~negative, float("-inf")), dim=1)
    pairs = torch.logaddexp(logits, rest[:, None]) - logits
    chosen = pairs[positive]
    return chosen.mean() if len(chosen) else logits.sum() * 0.0


class NeighbourLoss(nn.Module):
    """`contrastive_loss` for the stock trainer: one text a row, the label is the user's number.

    Each text of a batch is embedded once, and every pair of the batch is used: a user's neighbours that are in it are positives, all other
    users are negatives. A user whose label is `~number` (below 0) is a negative only: has no positives and is nobody's; those whose
    neighbour that user is leave the pair out.

    Args:
        model: The sentence transformer.
        neighbours: int [users, Kc], numbers of each user's neighbours, -1 where there are fewer.
        temperature: tau.
        chunk: Documents in memory at a time (`embed_in_chunks`); None embeds the batch at once.
    """

    def __init__(self, model: Any, neighbours: torch.Tensor, *, temperature: float = 0.05, chunk: int | None = None) -> None:
        super().__init__()
        self.model = model
        self.temperature = temperature
        self.chunk = chunk
        self.register_buffer("neighbours", neighbours, persistent=False)

    def forward(self, sentence_features: Iterable[dict[str, torch.Tensor]], labels: torch.Tensor) -> torch.Tensor:
        """The loss of a batch: features of one text column, labels [n]."""
        (features,) = sentence_features
        vectors = self._embed(features) if self.chunk is None else embed_in_chunks(self._embed, features, self.chunk)
        positive, negative = self._pairs(labels.to(vectors.device).long().view(-1))
        return contrastive_loss(vectors, positive, negative, self.temperature)

    def _embed(self, features: dict[str, torch.Tensor]) -> torch.Tensor:
        return self.model(features)["sentence_embedding"]  # type: ignore[no-any-return]

    def _pairs(self, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        asks = labels >= 0
        users = torch.where(asks, labels, ~labels)
        known: torch.Tensor = self.neighbours  # type: ignore[assignment]  # a buffer is a tensor
        near = (known.to(labels.device)[users][:, :, None] == users[None, None, :]).any(dim=1)
        other = users[:, None] != users[None, :]
        return near & other & asks[:, None] & asks[None, :], ~near & other & asks[:, None]
