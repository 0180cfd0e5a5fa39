"""The one training loop of all conventional recommenders: shuffled batches, early stopping, the best epoch kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from score_rag.progress import Report, silent

if TYPE_CHECKING:
    import torch

__all__ = ["Task", "fit_network"]


class Task(Protocol):
    """What a recommender gives to the loop."""

    def __len__(self) -> int:
        """Number of training rows."""

    def loss(self, network: Any, batch: Sequence[int], generator: np.random.Generator) -> torch.Tensor:
        """Mean loss of some rows."""

    def validate(self) -> float | None:
        """The score to choose epochs by, higher is better; None where it cannot be computed."""


def fit_network(
    network: torch.nn.Module,
    task: Task,
    *,
    epochs: int,
    patience: int,
    learning_rate: float,
    batch_size: int,
    weight_decay: float,
    seed: int,
    device: str = "cpu",
    report: Report = silent,
) -> dict[str, Any]:
    """Train until `patience` epochs brought nothing better; leave the best epoch's weights in `network`, on the CPU.

    Returns:
        `{"epoch": the kept one (0: untrained), "valid_auc": its score, "valid_auc_by_epoch": [...]}`.
    """
    import torch

    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    network.to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=weight_decay)
    best: dict[str, Any] = {"score": None, "epoch": 0, "weights": None}
    scores: list[float | None] = []
    for epoch in range(1, epochs + 1):
        network.train()
        order = generator.permutation(len(task))
        for start in range(0, len(order), batch_size):
            loss = task.loss(network, order[start : start + batch_size].tolist(), generator)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        network.cpu()
        score = task.validate()
        scores.append(score)
        # Without a score (one class only) the last epoch is as good a choice as any.
        if score is None or best["score"] is None or score > best["score"]:
            best = {"score": score, "epoch": epoch, "weights": {n: t.detach().clone() for n, t in network.state_dict().items()}}
        stop = epoch - best["epoch"] >= patience
        report("training the recommender (CRM)", epochs if stop else epoch, epochs)
        if stop:
            break
        network.to(device)
    if best["weights"] is not None:
        network.load_state_dict(best["weights"])
    network.cpu().eval()
    return {"epoch": best["epoch"], "valid_auc": best["score"], "valid_auc_by_epoch": scores}
