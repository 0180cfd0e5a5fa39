"""Like-rates as logits: how an item was judged in training, and how its user has judged so far.

Half of what can be known of "will they like it" is in these two averages (METHOD, section 2). A learned recommender starts from them and
learns the rest. While training, the judgement in question is taken out of its item's rate (leave-one-out); otherwise the rate would tell
the answer, and nothing else would be learned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

__all__ = ["COUNTS", "like_rates", "smoothed"]

COUNTS = 5.0
"""Judgements of the mean that each rate is smoothed by."""
USER_COUNTS = 15.0
"""Judgements as expected that a user's own are smoothed by: what moves a user's rate within an evening must not order their items."""


def smoothed(counts: np.ndarray) -> np.ndarray:
    """Like-rates [n] of counts [n, 2], the first row being padding; the mean where nothing was judged."""
    mean = (counts[1:, 0].sum() + 1) / (counts[1:, 1].sum() + 2)
    rates: np.ndarray = (counts[:, 0] + COUNTS * mean) / (counts[:, 1] + COUNTS)
    return rates


def like_rates(counts: np.ndarray) -> Any:
    """A module that turns counts into a logit; `counts` as of `item_counts`."""
    import torch
    from torch import nn

    class LikeRates(nn.Module):
        """logit(mean) + w · (item's logit - logit(mean)) + v · user's rate; w, v and the mean's logit are learned.

        A user's rate is what they liked above what their items' rates let expect, a judgement; so somebody who chose good films is not
        taken for somebody easily pleased.
        """

        counts: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("counts", torch.from_numpy(np.array(counts, dtype=np.float32)))
            self.weights = nn.Parameter(torch.tensor([1.0, 4.0]))
            self.middle = nn.Parameter(torch.logit(self.mean()))

        def mean(self) -> torch.Tensor:
            """Share of likes; kept away from 0 and 1, where nothing was (or everything was) liked."""
            liked, judged = self.counts.sum(dim=0)
            share: torch.Tensor = ((liked + 1) / (judged + 2)).clamp(1e-3, 1 - 1e-3)
            return share

        def deviation(self, liked: torch.Tensor, judged: torch.Tensor) -> torch.Tensor:
            """Smoothed rate's logit, less that of the mean; 0 where nothing was judged."""
            mean = self.mean()
            out: torch.Tensor = torch.log((liked + COUNTS * mean) / (judged - liked + COUNTS * (1 - mean))) - torch.logit(mean)
            return out

        def item(self, place: torch.Tensor, label: torch.Tensor | None = None) -> torch.Tensor:
            """Deviation of items [n]; with the labels of judgements [n], each is left out of its item's counts."""
            liked, judged = self.counts[place].unbind(-1)
            if label is not None:
                liked, judged = (liked - label).clamp(min=0), (judged - 1).clamp(min=0)
            return self.deviation(liked, judged)

        def often(self, place: torch.Tensor, label: torch.Tensor | None = None) -> torch.Tensor:
            """How much is known of items [n], 0 to about 1."""
            return torch.log1p((self.counts[place, 1] - (0 if label is None else 1)).clamp(min=0)) / 5

        def rate(self, before: torch.Tensor) -> torch.Tensor:
            """Users' likes above expectation, a judgement, from [n, 3]: liked, judged, expected likes so far."""
            return (before[:, 0] - before[:, 2]) / (before[:, 1] + USER_COUNTS)

        def user(self, before: torch.Tensor) -> torch.Tensor:
            """The same, as `forward` weighs it before it learned better."""
            return 4 * self.rate(before)

        def forward(self, place: torch.Tensor, before: torch.Tensor, label: torch.Tensor | None = None) -> torch.Tensor:
            """Logits [n]."""
            return self.middle + self.weights[0] * self.item(place, label) + self.weights[1] * self.rate(before)

        def biases(self) -> torch.Tensor:
            """What it adds to each item's score, [items]."""
            every = torch.arange(1, len(self.counts), device=self.counts.device)
            return self.middle + self.weights[0] * self.item(every)

        def offsets(self, before: torch.Tensor) -> torch.Tensor:
            """What it adds to all scores of a user, [n]."""
            return self.weights[1] * self.rate(before)

    return LikeRates()
