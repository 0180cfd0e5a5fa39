"""The one training loop of all conventional recommenders: shuffled batches, early stopping, the best epoch kept, exact resume."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from score_rag.crm.checkpoint import read_checkpoint, write_checkpoint
from score_rag.crm.interface import CollaborativeModel, UserHistory
from score_rag.crm.judgements import RepeatedQuestions
from score_rag.crm.ranking import RankingTask
from score_rag.crm.settings import ChooseBy, CrmTraining
from score_rag.data.interactions import Interactions, event_rows
from score_rag.files import digest_json
from score_rag.progress import Report, silent
from score_rag.seeds import seeded
from score_rag.training.average import WeightAverage

if TYPE_CHECKING:
    import torch

__all__ = ["Task", "Validation", "fit_network"]

_MOST_VALID = 20_000
_MOST_RANKED = 1_000


class Validation:
    """A recommender's score on validation events, for choosing epochs.

    Args:
        by: `auc` of events, each from strictly earlier history, or `ndcg` (@10) of full ranking from the end of training.
    """

    def __init__(self, model: CollaborativeModel, interactions: Interactions, by: ChooseBy) -> None:
        self.model, self.by = model, by
        self.ranking = RankingTask(interactions, "valid", most=_MOST_RANKED) if by == "ndcg" else None
        held_out = interactions.events.filter(pl.col("split") == "valid")
        if len(held_out) > _MOST_VALID:
            held_out = held_out[np.linspace(0, len(held_out) - 1, _MOST_VALID).astype(int)]
        events = list(event_rows(held_out)) if by == "auc" else []
        self.asked = RepeatedQuestions(UserHistory(interactions.log.earlier(event), event.user_id, event.timestamp) for event in events)
        self.places = [model.places_of([event.item_id]) for event in events]
        self.labels = np.array([int(event.liked) for event in events])

    def __call__(self) -> float | None:
        """The score; None where there is nothing to tell apart."""
        from score_rag.metrics.auc import auc

        if self.ranking is not None:
            return float(self.ranking.rank(self.model).ndcg.mean()) if len(self.ranking) else None
        if len(set(self.labels.tolist())) < 2:
            return None
        return auc(self.labels, np.concatenate(self.model.score_places(self.asked, self.places)))


@dataclass(frozen=True)
class Task:
    """What a recommender gives to the loop.

    Attributes:
        rows: Number of training rows.
        loss: Mean loss of some rows, given by their numbers: `loss(network, rows, generator)`.
        validation: The score to choose epochs by.
        made_from: A word for its data and its own settings: what a checkpoint must agree with.
    """

    rows: int
    loss: Callable[[Any, np.ndarray, np.random.Generator], torch.Tensor]
    validation: Validation
    made_from: str


@seeded
def fit_network(
    network: torch.nn.Module,
    task: Task,
    training: CrmTraining,
    *,
    learning_rate: float,
    batch_size: int,
    patience: int,
    weight_average: float,
    seed: int,
    checkpoint: Path | None = None,
    report: Report = silent,
) -> dict[str, Any]:
    """Train until `patience` epochs brought nothing better; leave the best epoch's weights in `network`, on the CPU.

    On a GPU the forward pass runs in bfloat16 where that is safe (autocast); on the CPU everything is float32, and a training that was
    killed and resumed ends with the same bits. Weight decay acts on matrices only.

    Args:
        training: At most so many epochs, and the like.
        learning_rate: Of AdamW, the model's own where `training` says none.
        batch_size: Rows of the task, likewise.
        patience: Epochs without gain before stopping, likewise.
        weight_average: Decay of the weights' average that is validated and kept, likewise; 0 keeps the weights themselves.
        checkpoint: Folder of the state after each epoch. One that was made from the same settings and data is resumed (a finished one
            returns at once); any other is written over.

    Returns:
        `{"epoch": the kept one (0: untrained), "valid_auc": its score, "valid_auc_by_epoch": [...]}`, or `valid_ndcg`.
    """
    import torch

    generator = np.random.default_rng(seed)
    where = ("cuda" if torch.cuda.is_available() else "cpu") if training.device == "auto" else training.device
    network.to(where)
    matrices = [p for p in network.parameters() if p.dim() > 1]
    rest = [p for p in network.parameters() if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": training.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], lr=learning_rate)
    told = training.model_dump(mode="json", include=set(CrmTraining.model_fields) - {"device"})
    said = [task.made_from, told, learning_rate, batch_size, patience, weight_average, seed, where, torch.__version__]
    made_from = digest_json([*said, [[name, *tensor.shape] for name, tensor in network.state_dict().items()]])
    average = WeightAverage(network, weight_average)
    best: dict[str, torch.Tensor] | None = None
    progress: dict[str, Any] = {"epoch": 0, "best": 0, "score": None, "scores": []}
    found = None
    trained: dict[str, Any] = {"network": network, "optimizer": optimizer, "generator": generator, "average": average.weights}
    if checkpoint is not None:
        found = read_checkpoint(checkpoint, made_from=made_from, **trained)
    if found is not None:
        best, progress = found
    mixed = torch.autocast("cuda", dtype=torch.bfloat16) if where == "cuda" else nullcontext()
    epochs, steps = training.epochs, -(-task.rows // batch_size)
    while progress["epoch"] < epochs and progress["epoch"] - progress["best"] < patience:
        network.train()
        order = generator.permutation(task.rows)
        for step, start in enumerate(range(0, len(order), batch_size), start=progress["epoch"] * steps + 1):
            with mixed:
                loss = task.loss(network, order[start : start + batch_size], generator)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            average.update(network, step)
        network.eval()
        with average.shown(network):
            score = task.validation()
            progress = {**progress, "epoch": progress["epoch"] + 1, "scores": [*progress["scores"], score]}
            # Without a score (one class only) the last epoch is as good a choice as any.
            if score is None or progress["score"] is None or score > progress["score"]:
                progress |= {"score": score, "best": progress["epoch"]}
                best = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        if checkpoint is not None:
            write_checkpoint(checkpoint, made_from=made_from, **trained, best=best, progress=progress)
        stop = progress["epoch"] - progress["best"] >= patience
        report("training the recommender (CRM)", epochs if stop else progress["epoch"], epochs)
    if best is not None:
        network.load_state_dict(best)
    network.cpu().eval()
    name = f"valid_{task.validation.by}"
    return {"epoch": progress["best"], name: progress["score"], f"{name}_by_epoch": progress["scores"]}
