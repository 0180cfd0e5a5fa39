"""LightGCN: vectors smoothed over the graph of who liked what (He et al., 2020; arXiv 2002.02126, equations 3, 4 and 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from score_rag.crm.graph import Graph, edge_weights, propagate
from score_rag.crm.interface import UserHistory
from score_rag.crm.judgements import Judgements, once
from score_rag.crm.learned import LearnedVectorModel, NegativeSampling, as_array
from score_rag.crm.losses import pair_loss
from score_rag.crm.plain import PlainNetwork, spread
from score_rag.crm.settings import LightGCNSettings
from score_rag.data.choices import History

if TYPE_CHECKING:
    import torch

__all__ = ["LightGCN"]

_STEPS = 512
"""Steps an epoch, of whatever many rows; the paper takes 396 on Gowalla (810,128 likes, 2,048 a step)."""
_LOGITS = 2**27
"""Numbers of a `softmax` step's rows by items, half a gigabyte: more rows are not worth so much memory."""


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
        self._edges = np.zeros((2, 0), dtype=np.int64)
        self._still: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        self._graph: Graph | None = None
        self._kept: tuple[Graph, list[tuple[Any, int]], tuple[np.ndarray, np.ndarray, np.ndarray]] | None = None

    def item_vectors(self) -> np.ndarray:
        return self._smoothed()[0]

    def _offsets(self, asked: Sequence[UserHistory], vectors: np.ndarray) -> np.ndarray:
        rates = self._network.rates
        return super()._offsets(asked, vectors) if rates is None else self._say(rates.offsets, self._before(asked))

    def _vectors(self, asked: Sequence[UserHistory]) -> np.ndarray:
        _, parts, degrees = self._smoothed()
        bases = as_array(self._network.users.weight) / (self.settings.layers + 1)
        out = np.zeros((len(asked), self.settings.dim), dtype=np.float32)
        for row, (number, liked) in enumerate(once(asked, "likes", self._likes)):
            if len(liked):
                out[row] = (parts[liked] / np.sqrt(np.maximum(degrees[liked], 1) * len(liked))[:, None]).sum(axis=0)
            if number >= 0:
                out[row] += bases[number]
        return out

    def _likes(self, asked: Sequence[UserHistory]) -> list[tuple[int, np.ndarray]]:
        """Of each question: the training user's number or -1, and the places of the items that were liked, each once."""
        liked = (dict.fromkeys(self._place[event.item_id] for event in one.history if event.liked) for one in asked)
        return [(self._number(one), np.array(list(places), dtype=np.int64)) for one, places in zip(asked, liked, strict=True)]

    def _smoothed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Items' vectors; what each gives to those who like it (before equation 3's weight); items' degrees. Kept while weights stay."""
        if isinstance(self._network, PlainNetwork):
            self._still = self._still or self._spread(self._network)
            return self._still
        import torch

        network, layers, users, whole = self._network, self.settings.layers, len(self._users), self._whole_graph()
        # Every step of training writes into the weights, which counts as a version.
        versions = [(weight, weight._version) for weight in network.parameters()]
        if self._kept is not None:
            graph, seen, kept = self._kept
            if graph is whole and all(one[0] is other[0] and one[1] == other[1] for one, other in zip(seen, versions, strict=True)):
                return kept
        with torch.inference_mode():
            nodes = network()
            graph = whole.to(nodes.device)
            items = propagate(nodes, graph, layers)[users:].cpu().numpy()
            # A user's vector is (base + sum of neighbours' vectors after 0 .. layers-1 steps) / (layers + 1).
            given = propagate(nodes, graph, layers - 1)[users:].cpu().numpy() * (layers / (layers + 1))
        out = items, given.astype(np.float32), np.bincount(self._edges[1], minlength=len(nodes))[users:]
        self._kept = whole, versions, out
        return out

    def _spread(self, network: PlainNetwork) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The same, of a network whose weights stay."""
        layers, users = self.settings.layers, len(self._users)
        nodes = np.concatenate([network.users.weight, network.items()[1:]])
        given = spread(nodes, self._edges, layers - 1)[users:] * np.float32(layers / (layers + 1))
        return spread(nodes, self._edges, layers)[users:], given, np.bincount(self._edges[1], minlength=len(nodes))[users:]

    def _whole_graph(self) -> Graph:
        if self._graph is None:
            import torch

            edges, nodes = torch.from_numpy(self._edges), len(self._users) + len(self.item_ids)
            self._graph = Graph.of(edges, edge_weights(edges, nodes), nodes)
        return self._graph

    def _plain(self, tensors: Mapping[str, np.ndarray]) -> PlainNetwork:
        return PlainNetwork(tensors)

    def _tensors(self) -> Mapping[str, np.ndarray]:
        return {**super()._tensors(), "edges": self._edges}

    def _restore(self, tensors: Mapping[str, np.ndarray], extra: Mapping[str, Any]) -> None:
        self._edges, self._graph, self._still = np.array(tensors["edges"]), None, None
        super()._restore({name: tensor for name, tensor in tensors.items() if name != "edges"}, extra)

    def _extra(self) -> dict[str, Any]:
        return {"users": list(self._users), "until": self._until.tolist()}

    def _build(self, counts: np.ndarray, users: int) -> torch.nn.Module:
        return _network(counts, self._content, users, self.settings.dim, self.settings.loss == "bce")

    def _prepared(self, judged: Judgements) -> None:
        user = np.repeat(np.arange(len(judged.users)), [len(read) for read in judged.tokens])
        read = np.concatenate([*judged.tokens, np.zeros(0, dtype=np.int64)])
        pairs = np.unique((user * (len(self.item_ids) + 1) + read)[read > 0])
        user, item = np.divmod(pairs, len(self.item_ids) + 1)
        self._edges, self._graph = np.stack([user, item - 1 + len(judged.users)]), None

    def _rows_a_step(self, rows: int) -> int:
        # A step smooths the whole graph. With as many rows in each, an epoch would take time as the square of the rows.
        most = rows if self.settings.loss == "bce" else _LOGITS // max(len(self.item_ids), 1)
        return max(self.batch, min(-(-rows // _STEPS), most))

    def _task(self, judged: Judgements, drawing: NegativeSampling) -> tuple[int, Any]:
        import torch

        users, layers, whole = len(judged.users), self.settings.layers, self._whole_graph()
        keys = self._edges[0] * (len(self.item_ids) + 1) + self._edges[1] - users + 1
        mine = judged.user * (len(self.item_ids) + 1) + judged.item
        # The edge of each judgement's user and item; -1 where there is none.
        number = np.searchsorted(keys, mine)
        edge = torch.from_numpy(np.where(np.append(keys, -1)[number] == mine, number, -1))
        user, item, before = (torch.from_numpy(column) for column in (judged.user, judged.item, judged.before))
        liked = torch.from_numpy(judged.liked.astype(np.float32))

        def loss(network: Any, batch: np.ndarray, generator: np.random.Generator) -> torch.Tensor:
            nonlocal whole
            device = network.bias.weight.device
            graph = whole = whole.to(device)
            rows = torch.from_numpy(batch)
            who, place, label = (column[rows].to(device) for column in (user, item, liked))
            if self.settings.loss == "bce":
                own = edge[rows]
                graph = graph.without(own[own >= 0].to(device))
            with torch.autocast(device.type, enabled=False):
                vectors = propagate(network(), graph, layers)
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
