"""Gradient caching (GradCache, arXiv 2101.06983): the gradients of a large batch in the memory of a few documents.

A contrastive loss needs all vectors of a batch at once, but not all that the encoder computed on the way to them. So documents are embedded
a few at a time and only their vectors are kept; when the gradient of the loss by a vector is known, those few documents are embedded
again, with the same dropout masks, and the gradient goes on into the weights. One forward pass more, and the same gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

__all__ = ["embed_in_chunks"]


def embed_in_chunks(embed: Callable[[dict[str, Any]], torch.Tensor], features: dict[str, Any], chunk: int) -> torch.Tensor:
    """Vectors of a batch, at most `chunk` documents at a time, each chunk cut to its longest document.

    `torch.utils.checkpoint` is the bookkeeper: it keeps the random state of each chunk and embeds it again in the backward pass, which
    meets the chunks one after the other.

    Args:
        embed: Features of some documents to their vectors [n, dim]; may write into the features.
        features: Tensors of a batch, `attention_mask` [n, length] among them; what is no tensor is handed on.
        chunk: Documents at a time.

    Returns:
        [n, dim], in the order of the batch.
    """
    mask = features["attention_mask"]
    # Documents of like length together, so that little is padded; the longest first, so that what does not fit fails at once.
    order = torch.argsort(mask.sum(dim=1), descending=True, stable=True)
    vectors = []
    for rows in torch.split(order, chunk):
        end = int(mask[rows].any(dim=0).nonzero().max()) + 1
        part = {name: value[rows][:, :end] if isinstance(value, torch.Tensor) else value for name, value in features.items()}
        vectors.append(checkpoint(lambda part=part: embed(dict(part)), use_reentrant=False))
    return torch.cat(vectors)[torch.argsort(order)]
