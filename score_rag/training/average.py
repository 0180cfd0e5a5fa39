"""The moving average of weights over a training's steps: as good at a high learning rate as the weights themselves at a low one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["WeightAverage"]

_WARM_UP = 10


class WeightAverage:
    """An exponential moving average of a network's learned weights.

    Early steps are forgotten sooner: after `n` steps the average keeps `n / (n + 10)` of itself, and never more than `decay`, so that few
    steps have an average too.

    Args:
        network: Whose weights.
        decay: Share of the average that a step keeps, 0 to below 1; 0 makes none, and `shown` shows the weights as they are.

    Attributes:
        weights: By name; empty without an average.
    """

    def __init__(self, network: torch.nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in network.named_parameters() if value.requires_grad} if decay else {}

    def update(self, network: torch.nn.Module, step: int) -> None:
        """Take in the weights after a step, counted from 1."""
        import torch

        if not self.weights:
            return
        share = 1 - min(self.decay, step / (step + _WARM_UP))
        now = dict(network.named_parameters())
        torch._foreach_lerp_(list(self.weights.values()), [now[name].detach() for name in self.weights], share)

    @contextmanager
    def shown(self, network: torch.nn.Module) -> Iterator[None]:
        """While it lasts, the network's weights are the average."""
        import torch

        learned = {name: value for name, value in network.named_parameters() if name in self.weights}
        own = {name: value.detach().clone() for name, value in learned.items()}
        with torch.no_grad():
            for name, value in learned.items():
                value.copy_(self.weights[name])
        try:
            yield
        finally:
            with torch.no_grad():
                for name, value in learned.items():
                    value.copy_(own[name])
