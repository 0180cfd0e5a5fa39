"""LightGCN: vectors smoothed over the graph of who liked what (He et al., 2020; arXiv 2002.02126, equations 3, 4 and 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from score_rag.crm.interface import UserHistory
from score_rag.crm.judgements import Judgements
from score_rag.crm.learned import LearnedVectorModel, NegativeSampling
from score_rag.crm.losses import pair_loss
from score_rag.crm.settings import LightGCNSettings
from score_rag.data.choices import History

if TYPE_CHECKING:
    import torch

__all__ = ["LightGCN", "propagate"]


def propagate(nodes: torch.Tensor, edges: torch.Tensor, weights: torch.Tensor, layers: int) -> torch.Tensor:
    """Mean of the nodes' vectors after 0, 1, ..., `layers` steps over the graph.

    Args:
        nodes: [nodes, dim].
        edges: int [2, edges], each once.
        weights: [edges]: 1 / sqrt(degree · degree) of its ends (equation 3); 0 leaves an edge out.
    """
    import torch

    both = torch.cat([edges, edges.flip(0)], dim=1)
    graph = torch.sparse_coo_tensor(both, torch.cat([weights, weights]), (len(nodes), len(nodes)), check_invariants=False)
    total = step = nodes
    for _ in range(layers):
        step = torch.sparse.mm(graph, step)
        total = total + step
    return total / (layers + 1)


def edge_weights(edges: torch.Tensor, nodes: int) -> torch.Tensor:
    """float32 [edges]: 1 / sqrt(degree · degree)."""
    import torch

    degree = torch.bincount(edges.flatten(), minlength=nodes).float()
    return (degree[edges[0]] * degree[edges[1]]).rsqrt()


class LightGCN(LearnedVectorModel):
    """The recommender. Its graph has an edge for each training user and item that they liked.

    What a user's vector is made of: their own base vector (training users alone, and only for questions after their last training
    judgement), and the smoothed vectors of all items in their history that they liked, new ones among them, with equation 3's weights.
    So strangers and later likes need no new training, and a training user's vector is that of the whole graph. Somebody who liked nothing
    yet and has no base vector has zeros, which is nobody's neighbour, and is scored by the items' biases. An item that nobody liked in
    training keeps its base vector (of its genres and year; without `content` a small random one), and the bias of its like-rate.

    While training with `bce`, a batch's own edges are left out of the graph: the edge would tell that the item was liked.

    Args:
        settings: See `LightGCNSettings`.
        history: `all`: scores start from the user's like-rate so far; `positives`: from likes alone. The graph knows likes alone.
        changes: Single settings.
    """

    kind: ClassVar[str] = "lightgcn"
    name: ClassVar[str] = "LightGCN"
    batch: ClassVar[int] = 2048
    rate: ClassVar[float] = 1e-2

    settings_model: ClassVar[type[LightGCNSettings]] = LightGCNSettings
    settings: LightGCNSettings

    def __init__(self, settings: LightGCNSettings | None = None, *, history: History = "all", **changes: Any) -> None:
        super().__init__(settings, history=history, **changes)
        self._edges: Any = None

    def item_vectors(self) -> np.ndarray:
        return self._smoothed()[0]

    def _offsets(self, asked: Sequence[UserHistory], vectors: np.ndarray) -> np.ndarray:
        import torch

        rates = self._network.rates
        if rates is None:
            return super()._offsets(asked, vectors)
        with torch.inference_mode():
            offsets: np.ndarray = rates.offsets(self._before(asked).to(rates.middle.device)).cpu().numpy()
        return offsets

    def _vectors(self, asked: Sequence[UserHistory]) -> np.ndarray:
        _, parts, degrees = self._smoothed()
        bases = self._network.users.weight.detach().cpu().numpy() / (self.settings.layers + 1)
        out = np.zeros((len(asked), self.settings.dim), dtype=np.float32)
        for row, one in enumerate(asked):
            number = self._number(one)
            liked = list(dict.fromkeys(self._place[event.item_id] for event in one.history if event.liked))
            if liked:
                out[row] = (parts[liked] / np.sqrt(np.maximum(degrees[liked], 1) * len(liked))[:, None]).sum(axis=0)
            if number >= 0:
                out[row] += bases[number]
        return out

    def _smoothed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Items' vectors; what each gives to those who like it (before equation 3's weight); items' degrees."""
        import torch

        network, layers, users = self._network, self.settings.layers, len(self._users)
        with torch.inference_mode():
            nodes = network()
            edges = self._edges.to(nodes.device)
            weights = edge_weights(edges, len(nodes))
            items = propagate(nodes, edges, weights, layers)[users:].cpu().numpy()
            # A user's vector is (base + sum of neighbours' vectors after 0 .. layers-1 steps) / (layers + 1).
            given = propagate(nodes, edges, weights, layers - 1)[users:].cpu().numpy() * (layers / (layers + 1))
            degrees = torch.bincount(edges[1], minlength=len(nodes))[users:].cpu().numpy()
        return items, given.astype(np.float32), degrees

    def _tensors(self) -> Mapping[str, np.ndarray]:
        return {**super()._tensors(), "edges": self._edges.numpy()}

    def _restore(self, tensors: Mapping[str, np.ndarray], extra: Mapping[str, Any]) -> None:
        import torch

        self._edges = torch.from_numpy(np.array(tensors["edges"]))
        super()._restore({name: tensor for name, tensor in tensors.items() if name != "edges"}, extra)

    def _extra(self) -> dict[str, Any]:
        return {"users": list(self._users), "until": self._until.tolist()}

    def _build(self, counts: np.ndarray, users: int) -> torch.nn.Module:
        return _network(counts, self._content, users, self.settings.dim, self.settings.loss == "bce")

    def _prepared(self, judged: Judgements) -> None:
        import torch

        liked = np.concatenate([np.array([[number] * len(read), read]) for number, read in enumerate(judged.tokens)], axis=1)
        pairs = np.unique(liked[:, liked[1] > 0], axis=1)
        self._edges = torch.from_numpy(np.stack([pairs[0], pairs[1] - 1 + len(judged.users)]).astype(np.int64))

    def _task(self, judged: Judgements, drawing: NegativeSampling) -> tuple[int, Any]:
        import torch

        users, edges, layers = len(judged.users), self._edges, self.settings.layers
        weights = edge_weights(edges, users + len(self.item_ids))
        keys = (edges[0] * (len(self.item_ids) + 1) + edges[1] - users + 1).numpy()
        mine = judged.user * (len(self.item_ids) + 1) + judged.item
        user, item, before = (torch.from_numpy(column) for column in (judged.user, judged.item, judged.before))
        liked = torch.from_numpy(judged.liked.astype(np.float32))

        def loss(network: Any, batch: np.ndarray, generator: np.random.Generator) -> torch.Tensor:
            device = network.bias.weight.device
            rows = torch.from_numpy(batch)
            who, place, label = (column[rows].to(device) for column in (user, item, liked))
            there = weights
            if self.settings.loss == "bce":
                there = weights.masked_fill(torch.from_numpy(np.isin(keys, mine[batch])), 0.0)
            with torch.autocast(device.type, enabled=False):
                vectors = propagate(network(), edges.to(device), there.to(device), layers)
            items = torch.cat([torch.zeros_like(vectors[:1]), vectors[users:]])
            return pair_loss(
                vectors[who],
                items,
                network.bias.weight[:, 0],
                place,
                label,
                offset=None if network.rates is None else network.rates(place, before[rows].to(device), label),
                kind=self.settings.loss,
                negatives=drawing.negatives,
                negative_weight=drawing.weight,
                generator=generator,
            )

        return len(judged), loss


def _network(counts: np.ndarray, content: np.ndarray, users: int, dim: int, rates: bool) -> torch.nn.Module:
    import torch
    from torch import nn

    from score_rag.crm.content import item_table
    from score_rag.crm.rates import like_rates

    class Network(nn.Module):
        """Base vectors of users, then of items, [users + items, dim]; biases of items (row 0 is padding)."""

        def __init__(self) -> None:
            super().__init__()
            self.users = nn.Embedding(users, dim)
            self.items = item_table(len(counts), dim, content, std=0.1)
            self.bias = nn.Embedding(len(counts), 1, padding_idx=0)
            self.rates = like_rates(counts) if rates else None
            nn.init.normal_(self.users.weight, std=0.1)
            nn.init.zeros_(self.bias.weight)

        def forward(self) -> torch.Tensor:
            return torch.cat([self.users.weight, self.items()[1:]])

    return Network()
