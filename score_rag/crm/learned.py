"""What recommenders that are trained share: fitting through the one loop, weights on disk."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from score_rag.crm.content import content_of
from score_rag.crm.interface import CollaborativeModel, UserHistory, VectorModel
from score_rag.crm.judgements import Judgements, counts, data_digest, item_counts
from score_rag.crm.plain import PlainNetwork
from score_rag.crm.rates import smoothed
from score_rag.crm.settings import CrmTraining, RecommenderSettings
from score_rag.crm.train import Task, Validation, fit_network
from score_rag.data.choices import History
from score_rag.data.interactions import Interactions
from score_rag.errors import InputError
from score_rag.extras import names_extras
from score_rag.files import digest_json
from score_rag.progress import Report, silent
from score_rag.seeds import seeded

if TYPE_CHECKING:
    import torch

__all__ = ["LearnedModel", "LearnedVectorModel", "NegativeSampling", "as_array"]


class NegativeSampling:
    """How sampled negatives enter a loss: how many for each judgement, and their weight."""

    def __init__(self, negatives: int, weight: float) -> None:
        self.negatives, self.weight = negatives, weight


class LearnedModel(CollaborativeModel):
    """A recommender with a network. A model adds the network (`_build`) and its loss (`_task`).

    Attributes:
        batch: Rows of a batch, where `fit` is not told.
        rate: Learning rate, likewise.
        patience: Epochs without gain before stopping, likewise.
        weight_average: Share that a step keeps of the weights' moving average, likewise; 0 makes none.
    """

    batch: ClassVar[int] = 1024
    rate: ClassVar[float] = 3e-3
    patience: ClassVar[int] = 8
    weight_average: ClassVar[float] = 0.0

    def __init__(self, settings: RecommenderSettings | None = None, *, history: History = "all", **changes: Any) -> None:
        super().__init__(settings, history=history, **changes)
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

    def _rows_a_step(self, rows: int) -> int:
        """Rows of a batch of a task of so many, where `fit` is not told."""
        return self.batch

    def _plain(self, tensors: Mapping[str, np.ndarray]) -> PlainNetwork | None:
        """The trained network in numpy, from its weights; None where it is written in torch alone."""
        return None

    def _prepared(self, judged: Judgements) -> None:
        """A chance to keep something of the training events beside the network."""

    @names_extras()
    @seeded
    def fit(
        self,
        interactions: Interactions,
        training: CrmTraining | None = None,
        *,
        seed: int = 0,
        checkpoint: Path | None = None,
        report: Report = silent,
        **changes: Any,
    ) -> Self:
        """Train on training events; keep the epoch that is best on validation events.

        Args:
            interactions: The data.
            training: How.
            seed: Of weights, batches and random sampling.
            checkpoint: Folder of the state after each epoch; a training killed at any moment goes on from there, to the same weights.
            report: Told how far the work is.
            changes: Single settings of the training, in place of those given: `fit(interactions, epochs=3)`.

        Raises:
            InputError: There is nothing to learn from, or a setting is wrong.
        """
        training = (training or CrmTraining()).changed(**changes)
        self._know(list(interactions.catalogue))
        self.bind(interactions.log)
        judged = Judgements.of(interactions, self._place, self.history)
        if not len(judged):
            raise InputError("there are no training events to learn from", expected="at least one row whose split is 'train'")
        self._users = {user: number for number, user in enumerate(judged.users)}
        self._until, self._rates = judged.until, judged.rates
        self._content = content_of(interactions.catalogue.values())[:, : None if self.settings.content else 0]
        self._network = self._build(item_counts(judged, len(self.item_ids)), len(judged.users))
        self._prepared(judged)
        rows, loss = self._task(judged, NegativeSampling(training.negatives, training.negative_weight))
        own = self.settings.model_dump(mode="json")
        said = [self.kind, own, self.history, training.negatives, training.negative_weight, data_digest(interactions)]
        self.metrics = fit_network(
            self._network,
            Task(rows, loss, Validation(self, interactions, training.choose_by), digest_json(said)),
            training,
            learning_rate=self.rate if training.learning_rate is None else training.learning_rate,
            batch_size=self._rows_a_step(rows) if training.batch_size is None else training.batch_size,
            patience=self.patience if training.patience is None else training.patience,
            weight_average=self.weight_average if training.weight_average is None else training.weight_average,
            seed=seed,
            checkpoint=checkpoint,
            report=report,
        )
        return self

    def _number(self, asked: UserHistory) -> int:
        """The training user's number, where their own vector knows nothing but what was before the question; otherwise -1."""
        number = self._users.get(asked.user_id, -1) if asked.user_id is not None else -1
        return number if number >= 0 and (asked.as_of is None or asked.as_of > self._until[number]) else -1

    def _before(self, asked: Sequence[UserHistory]) -> np.ndarray:
        """float32 [n, 3], as `Judgements.before`: what like-rates need to know of users."""
        return counts(asked, self._place, self._rates, self.history)

    def _say(self, part: Callable[..., Any], *given: np.ndarray) -> np.ndarray:
        """What the network or a part of it says to arrays: one in torch on its device, without gradients; a plain one as it is."""
        if isinstance(self._network, PlainNetwork):
            said: np.ndarray = part(*given)
            return said
        import torch

        network = self._network.eval()
        device = next(network.parameters()).device
        with torch.inference_mode():
            said = part(*(torch.from_numpy(array).to(device) for array in given)).cpu().numpy()
        return said

    def _tensors(self) -> Mapping[str, np.ndarray]:
        if isinstance(self._network, PlainNetwork):
            return self._network.tensors
        return {name: as_array(tensor) for name, tensor in self._network.state_dict().items()}

    def _restore(self, tensors: Mapping[str, np.ndarray], extra: Mapping[str, Any]) -> None:
        self._users = {user: number for number, user in enumerate(extra.get("users", ()))}
        self._until = np.array(extra.get("until", ()), dtype=np.int64)
        self._content = np.array(tensors["items.content"])
        self._network = self._plain(tensors) or self._rebuilt(tensors)
        self._rates = smoothed(tensors["rates.counts"].astype(np.float64)) if "rates.counts" in tensors else self._rates

    def _rebuilt(self, tensors: Mapping[str, np.ndarray]) -> torch.nn.Module:
        import torch

        network = self._build(np.zeros((len(self.item_ids) + 1, 2), dtype=np.float32), len(self._users))
        network.load_state_dict({name: torch.from_numpy(np.array(tensor)) for name, tensor in tensors.items()})
        return network.eval()


class LearnedVectorModel(LearnedModel, VectorModel):
    """A learned recommender whose score is an inner product; its network has `items`, `bias` and perhaps `rates`."""

    def item_vectors(self) -> np.ndarray:
        return self._say(self._network.items)[1:].copy()

    def item_biases(self) -> np.ndarray:
        biases = as_array(self._network.bias.weight)[1:, 0].copy()
        return biases if self._network.rates is None else biases + self._say(self._network.rates.biases)


def as_array(tensor: Any) -> np.ndarray:
    """Weights as an array, whether they are torch's or plain."""
    found: np.ndarray = tensor if isinstance(tensor, np.ndarray) else tensor.detach().cpu().numpy()
    return found
