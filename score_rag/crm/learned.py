"""What recommenders that are trained share: fitting through the one loop, weights on disk."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from score_rag.crm.content import content_of
from score_rag.crm.interface import CollaborativeModel, History, UserHistory, VectorModel
from score_rag.crm.judgements import Judgements, counts, data_digest, item_counts
from score_rag.crm.rates import smoothed
from score_rag.crm.train import ChooseBy, Device, Task, Validation, fit_network
from score_rag.data.interactions import Interactions
from score_rag.errors import InputError
from score_rag.files import digest_json
from score_rag.progress import Report, silent
from score_rag.seeds import seeded

if TYPE_CHECKING:
    import torch

__all__ = ["LearnedModel", "LearnedVectorModel", "NegativeSampling"]


class NegativeSampling:
    """How drawn items enter a loss: how many for each judgement, and their weight."""

    def __init__(self, negatives: int, weight: float) -> None:
        self.negatives, self.weight = negatives, weight


class LearnedModel(CollaborativeModel):
    """A recommender with a network. A model adds the network (`_build`) and its loss (`_task`).

    Attributes:
        batch: Rows of a batch, where `fit` is not told.
        rate: Learning rate, likewise.
    """

    batch: ClassVar[int] = 1024
    rate: ClassVar[float] = 3e-3

    def __init__(self, *, history: History = "all") -> None:
        super().__init__(history=history)
        self._network: Any = None
        self._content: np.ndarray = np.zeros((1, 0), dtype=np.float32)
        self._users: dict[str, int] = {}
        self._until: np.ndarray = np.zeros(0, dtype=np.int64)
        self._rates: np.ndarray = np.zeros(1)

    @abstractmethod
    def _build(self, counts: np.ndarray, users: int) -> torch.nn.Module:
        """An untrained network; `counts` as of `item_counts`."""

    @abstractmethod
    def _task(self, judged: Judgements, drawing: NegativeSampling) -> tuple[int, Any]:
        """(rows, loss of rows) for the training loop."""

    def _prepared(self, judged: Judgements) -> None:
        """A chance to keep something of the training events beside the network."""

    @seeded
    def fit(
        self,
        interactions: Interactions,
        *,
        epochs: int = 30,
        patience: int = 4,
        learning_rate: float | None = None,
        batch_size: int | None = None,
        weight_decay: float = 1e-2,
        negatives: int = 0,
        negative_weight: float = 0.2,
        choose_by: ChooseBy = "auc",
        seed: int = 0,
        device: Device = "auto",
        checkpoint: Path | None = None,
        report: Report = silent,
    ) -> Self:
        """Train on training events; keep the epoch that is best on validation events.

        Args:
            epochs: At most so many.
            patience: Epochs without gain before stopping.
            learning_rate: Of AdamW; the model's own where it is None.
            batch_size: Users (SASRec) or judgements a step; the model's own where it is None.
            weight_decay: Of matrices.
            negatives: Drawn items for each judgement (loss `bce`): better at ranking, worse at judging what was judged.
            negative_weight: Weight of their loss.
            choose_by: What the best epoch is best in: AUC of validation events, or NDCG@10 of full ranking.
            seed: Of weights, batches and draws.
            device: `auto` takes a GPU where there is one.
            checkpoint: Folder of the state after each epoch; a training killed at any moment goes on from there, to the same weights.

        Raises:
            InputError: There is nothing to learn from.
        """
        self._know(list(interactions.catalogue))
        self.bind(interactions.log)
        judged = Judgements.of(interactions, self._place, self.history)
        if not len(judged):
            raise InputError("there are no training events to learn from", expected="at least one row whose split is 'train'")
        self._users = {user: number for number, user in enumerate(judged.users)}
        self._until, self._rates = judged.until, judged.rates
        self._content = content_of(interactions.catalogue.values())[:, : None if self.settings["content"] else 0]
        self._network = self._build(item_counts(judged, len(self.item_ids)), len(judged.users))
        self._prepared(judged)
        rows, loss = self._task(judged, NegativeSampling(negatives, negative_weight))
        said = [self.kind, self.settings, self.history, negatives, negative_weight, choose_by, data_digest(interactions)]
        self.metrics = fit_network(
            self._network,
            Task(rows, loss, Validation(self, interactions, choose_by), digest_json(said)),
            epochs=epochs,
            patience=patience,
            learning_rate=self.rate if learning_rate is None else learning_rate,
            batch_size=self.batch if batch_size is None else batch_size,
            weight_decay=weight_decay,
            seed=seed,
            device=device,
            checkpoint=checkpoint,
            report=report,
        )
        return self

    def _number(self, asked: UserHistory) -> int:
        """The training user's number, where their own vector knows nothing but what was before the question; otherwise -1."""
        number = self._users.get(asked.user_id, -1) if asked.user_id is not None else -1
        return number if number >= 0 and (asked.as_of is None or asked.as_of > self._until[number]) else -1

    def _before(self, asked: Sequence[UserHistory]) -> torch.Tensor:
        """float32 [n, 3], as `Judgements.before`: what like-rates need to know of users."""
        import torch

        return torch.from_numpy(counts(asked, self._place, self._rates, self.history))

    def _tensors(self) -> Mapping[str, np.ndarray]:
        return {name: tensor.detach().cpu().numpy() for name, tensor in self._network.state_dict().items()}

    def _restore(self, tensors: Mapping[str, np.ndarray], extra: Mapping[str, Any]) -> None:
        import torch

        self._users = {user: number for number, user in enumerate(extra.get("users", ()))}
        self._until = np.array(extra.get("until", ()), dtype=np.int64)
        self._content = np.array(tensors["items.content"])
        self._network = self._build(np.zeros((len(self.item_ids) + 1, 2), dtype=np.float32), len(self._users))
        self._network.load_state_dict({name: torch.from_numpy(np.array(tensor)) for name, tensor in tensors.items()})
        self._network.eval()
        self._rates = smoothed(tensors["rates.counts"].astype(np.float64)) if "rates.counts" in tensors else self._rates


class LearnedVectorModel(LearnedModel, VectorModel):
    """A learned recommender whose score is an inner product; its network has `items`, `bias` and perhaps `rates`."""

    def item_vectors(self) -> np.ndarray:
        vectors: np.ndarray = self._network.items()[1:].detach().cpu().numpy().copy()
        return vectors

    def item_biases(self) -> np.ndarray:
        biases = self._network.bias.weight[1:, 0]
        if self._network.rates is not None:
            biases = biases + self._network.rates.biases()
        found: np.ndarray = biases.detach().cpu().numpy().copy()
        return found
