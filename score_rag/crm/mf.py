"""MF: matrix factorization of judgements, with biases and like-rates (Koren, Bell and Volinsky, 2009; logistic loss)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from score_rag.crm.interface import UserHistory
from score_rag.crm.judgements import Judgements
from score_rag.crm.learned import LearnedVectorModel, NegativeSampling, as_array
from score_rag.crm.losses import pair_loss
from score_rag.crm.plain import PlainNetwork
from score_rag.crm.settings import MFSettings

if TYPE_CHECKING:
    import torch

__all__ = ["MF"]


class MF(LearnedVectorModel):
    """A vector a user, a vector an item.

    A training user asked about after their last training judgement has their learned vector, moved by one Newton step of the logistic loss
    towards what they judged since; everybody else has that step from zero over their whole history (its prior: the learned users' spread).
    Somebody without a history has a vector of zeros, which is nobody's neighbour, and is scored by the items' biases. An item without
    training events has the mean's bias and what its genres and year tell of it (without `content`: a small random vector).

    Args:
        settings: See `MFSettings`.
        history: `all` judgements are read after training, or `positives` only.
        changes: Single settings.
    """

    kind: ClassVar[str] = "mf"
    name: ClassVar[str] = "MF"

    settings_model: ClassVar[type[MFSettings]] = MFSettings
    settings: MFSettings

    def _offsets(self, asked: Sequence[UserHistory], vectors: np.ndarray) -> np.ndarray:
        network = self._network
        if network.rates is None:
            return super()._offsets(asked, vectors)
        numbers = np.array([self._number(one) + 1 for one in asked], dtype=np.int64)
        own: np.ndarray = self._say(network.rates.offsets, self._before(asked)) + as_array(network.user_bias.weight)[numbers, 0]
        return own

    def _vectors(self, asked: Sequence[UserHistory]) -> np.ndarray:
        users = as_array(self._network.users.weight)
        items, biases, offsets = self.item_vectors(), self.item_biases(), self._offsets(asked, users)
        prior = 1.0 / max(float((users[1:] ** 2).mean()), 1e-6) if len(users) > 1 else 1e6
        out = np.zeros((len(asked), users.shape[1]), dtype=np.float32)
        for row, one in enumerate(asked):
            number = self._number(one)
            out[row] = users[number + 1] if number >= 0 else 0
            until = self._until[number] if number >= 0 else None
            news = [e for e in one.history if (until is None or e.timestamp > until) and (e.liked or self.history == "all")]
            if news:
                places = [self._place[e.item_id] for e in news]
                liked = np.array([e.liked for e in news], dtype=np.float32)
                out[row] += _newton(items[places], liked, biases[places] + offsets[row], out[row], prior)
        return out

    def _extra(self) -> dict[str, Any]:
        return {"users": list(self._users), "until": self._until.tolist()}

    def _build(self, counts: np.ndarray, users: int) -> torch.nn.Module:
        return _network(counts, self._content, users, self.settings.dim, self.settings.dropout, self.settings.loss == "bce")

    def _plain(self, tensors: Mapping[str, np.ndarray]) -> PlainNetwork:
        return PlainNetwork(tensors)

    def _task(self, judged: Judgements, drawing: NegativeSampling) -> tuple[int, Any]:
        import torch

        user, item, before = (torch.from_numpy(column) for column in (judged.user + 1, judged.item, judged.before))
        liked = torch.from_numpy(judged.liked.astype(np.float32))

        def loss(network: Any, batch: np.ndarray, generator: np.random.Generator) -> torch.Tensor:
            device = network.bias.weight.device
            rows = torch.from_numpy(batch)
            who, place, label = (column[rows].to(device) for column in (user, item, liked))
            offset = None
            if network.rates is not None:
                offset = network.rates(place, before[rows].to(device), label) + network.user_bias(who)[:, 0]
            return pair_loss(
                network.dropout(network.users(who)),
                network.items(),
                network.bias.weight[:, 0],
                place,
                label,
                offset=offset,
                kind=self.settings.loss,
                negatives=drawing.negatives,
                negative_weight=drawing.weight,
                generator=generator,
            )

        return len(judged), loss


def _newton(items: np.ndarray, liked: np.ndarray, base: np.ndarray, start: np.ndarray, prior: float) -> np.ndarray:
    """One Newton step of logistic loss + prior/2 · |step|²: (prior·I + Σ p(1-p) q qᵀ)⁻¹ Σ (liked - p) q, over items q [m, dim]."""
    p = 1 / (1 + np.exp(-(base + items @ start)))
    curve = (items * (p * (1 - p))[:, None]).T @ items + prior * np.eye(items.shape[1], dtype=np.float32)
    step: np.ndarray = np.linalg.solve(curve, items.T @ (liked - p))
    return step


def _network(counts: np.ndarray, content: np.ndarray, users: int, dim: int, dropout: float, rates: bool) -> torch.nn.Module:
    from torch import nn

    from score_rag.crm.content import item_table
    from score_rag.crm.rates import like_rates

    class Network(nn.Module):
        """Tables; row 0 of each is nobody, and padding."""

        def __init__(self) -> None:
            super().__init__()
            self.users = nn.Embedding(users + 1, dim, padding_idx=0)
            self.items = item_table(len(counts), dim, content, std=0.1)
            self.user_bias = nn.Embedding(users + 1, 1, padding_idx=0)
            self.bias = nn.Embedding(len(counts), 1, padding_idx=0)
            self.rates = like_rates(counts) if rates else None
            self.dropout = nn.Dropout(dropout)
            for table, std in ((self.users, 0.1), (self.user_bias, 0.0), (self.bias, 0.0)):
                nn.init.normal_(table.weight[1:], std=std)

    return Network()
