"""Two losses of recommenders that multiply a user's vector with an item's: is it liked, and which one is it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from score_rag.crm.settings import Loss

if TYPE_CHECKING:
    import torch

__all__ = ["pair_loss"]


def pair_loss(
    user: torch.Tensor,
    items: torch.Tensor,
    bias: torch.Tensor,
    item: torch.Tensor,
    label: torch.Tensor,
    *,
    offset: torch.Tensor | None = None,
    kind: Loss,
    negatives: int = 0,
    negative_weight: float = 0.0,
    generator: np.random.Generator | None = None,
) -> torch.Tensor:
    """Mean loss of judgements.

    `bce`: binary cross-entropy of each judgement as it was given (Kang and McAuley 2018, equation 6, with real dislikes), plus
    `negative_weight` times that of `negatives` sampled items as a "no". Sampled ones go without biases: those say how an item is judged,
    and not being judged is no judgement. `softmax`: cross-entropy of each *liked* item against the whole catalogue
    (Klenitskiy and Vasilev 2023, arXiv 2309.07602).

    Args:
        user: [n, dim].
        items: [items + 1, dim], row 0 padding.
        bias: [items + 1].
        item: int [n], places from 1.
        label: float [n].
        offset: [n], added to the judgements' logits (`bce` alone: softmax does not feel it).
        generator: Draws the negatives.
    """
    import torch
    from torch.nn import functional

    if kind == "softmax":
        liked = label > 0
        if not liked.any():
            return (user.sum() + items.sum()) * 0.0
        return functional.cross_entropy(user[liked] @ items[1:].T + bias[1:], item[liked] - 1)
    logits = (user * items[item]).sum(-1) + bias[item]
    logits = logits if offset is None else logits + offset
    loss = functional.binary_cross_entropy_with_logits(logits, label)
    if negatives and negative_weight and generator is not None:
        drawn = torch.from_numpy(generator.integers(1, len(items), (len(item), negatives))).to(item.device)
        away = (user[:, None] * items[drawn]).sum(-1)
        loss = loss + negative_weight * functional.binary_cross_entropy_with_logits(away, torch.zeros_like(away))
    return loss
