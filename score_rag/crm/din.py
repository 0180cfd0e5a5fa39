"""DIN: what somebody did counts as much as it has to do with the item in question (Zhou et al., 2018; arXiv 1706.06978)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from score_rag.crm.judgements import Judgements, counts, tokens
from score_rag.crm.learned import Drawing, LearnedRecommender
from score_rag.crm.recommender import Asked, History

if TYPE_CHECKING:
    import torch

__all__ = ["DIN"]

_PAIRS = 8192
"""Most (history, item) pairs that are scored at a time."""


class DIN(LearnedRecommender):
    """The recommender: attention from the item in question over the history, then a small perceptron.

    Weights of the history's items sum to 1 (the paper leaves them unnormalized; here histories differ tenfold in length). An item's value
    is its vector times what its verdict adds to what was to be expected (liked or not, less the item's like-rate). The score starts from
    like-rates (see `rates`), loss is binary cross-entropy.

    Its user vector, for neighbours: the history's values with equal weights, which is the interest that attention would see if it
    looked at nothing in particular. Somebody without a history has zeros, which is nobody's neighbour; the score is then a matter of the
    item's like-rate, its vector, and the perceptron's answer to an empty history. An item without training events has a small random
    vector and the mean's rate.

    Args:
        dim: Width of item vectors.
        dropout: While training, of the perceptron's input and hidden layer.
        max_length: The most recent so many items are read.
        history: `all` judgements, or `positives` only.
    """

    kind: ClassVar[str] = "din"
    name: ClassVar[str] = "DIN"
    batch: ClassVar[int] = 512
    rate: ClassVar[float] = 2e-3

    def __init__(self, *, dim: int = 32, dropout: float = 0.3, max_length: int = 50, history: History = "all") -> None:
        super().__init__(history=history)
        self.settings = {"dim": dim, "dropout": dropout, "max_length": max_length}

    def _read(self, asked: Sequence[Asked]) -> list[list[int]]:
        size = int(self.settings["max_length"])
        return [tokens(one.history[-size:] if self.history == "all" else one.history, self._place, self.history)[-size:] for one in asked]

    def _vectors(self, asked: Sequence[Asked]) -> np.ndarray:
        import torch

        out = np.zeros((len(asked), self.settings["dim"]), dtype=np.float32)
        rows = self._read(asked)
        filled = [place for place, row in enumerate(rows) if row]
        network = self._network.eval()
        with torch.inference_mode():
            for start in range(0, len(filled), 1024):
                part = filled[start : start + 1024]
                ids = torch.from_numpy(_left([rows[place] for place in part])).to(network.bias.weight.device)
                there = (ids != 0).float()
                out[part] = ((network.values(ids) * there[..., None]).sum(1) / there.sum(1, keepdim=True)).cpu().numpy()
        return out

    def _scores(self, asked: Sequence[Asked], places: Sequence[np.ndarray]) -> list[np.ndarray]:
        import torch

        rows, before = self._read(asked), counts(asked, self.history)
        lengths = [len(place) for place in places]
        flat = np.zeros(sum(lengths), dtype=np.float32)
        if not len(flat):
            return [np.zeros(0, dtype=np.float32) for _ in places]
        owner = np.repeat(np.arange(len(asked)), lengths)
        items = np.concatenate(places) + 1
        # Alike lengths side by side: less padding.
        order = np.argsort(np.array([len(row) for row in rows])[owner], kind="stable")
        network = self._network.eval()
        device = network.bias.weight.device
        with torch.inference_mode():
            for start in range(0, len(order), _PAIRS):
                part = order[start : start + _PAIRS]
                who, row = np.unique(owner[part], return_inverse=True)
                ids = torch.from_numpy(_left([rows[n] for n in who])).to(device)
                asked_items = torch.from_numpy(items[part]).to(device)
                counted = torch.from_numpy(before[owner[part]]).to(device)
                flat[part] = network(ids, torch.from_numpy(row).to(device), asked_items, counted).cpu().numpy()
        return np.split(flat, np.cumsum(lengths)[:-1])

    def _build(self, counts: np.ndarray, users: int) -> torch.nn.Module:
        return _network(counts, self.settings["dim"], self.settings["dropout"])

    def _task(self, judged: Judgements, drawing: Drawing) -> tuple[int, Any]:
        import torch
        from torch.nn import functional

        size = int(self.settings["max_length"])

        def loss(network: Any, batch: np.ndarray, generator: np.random.Generator) -> torch.Tensor:
            device = network.bias.weight.device
            known = [judged.tokens[judged.user[n]][max(judged.known[n] - size, 0) : judged.known[n]] for n in batch]
            ids = torch.from_numpy(_left(known)).to(device)
            item, before = torch.from_numpy(judged.item[batch]).to(device), torch.from_numpy(judged.before[batch]).to(device)
            label = torch.from_numpy(judged.liked[batch].astype(np.float32)).to(device)
            row = torch.arange(len(batch), device=device)
            logits = network(ids, row, item, before, label)
            out = functional.binary_cross_entropy_with_logits(logits, label)
            if drawing.negatives and drawing.weight:
                drawn = torch.from_numpy(generator.integers(1, len(self.item_ids) + 1, len(batch))).to(device)
                # What like-rates say of a drawn item is taken off: not being judged is no judgement.
                away = network(ids, row, drawn, before) - network.rates(drawn, before)
                out = out + drawing.weight * functional.binary_cross_entropy_with_logits(away, torch.zeros_like(away))
            return out

        return len(judged), loss


def _left(rows: Sequence[Sequence[int] | np.ndarray]) -> np.ndarray:
    """int64 [n, longest (at least 1)], zeros behind."""
    out = np.zeros((len(rows), max(1, max(len(row) for row in rows))), dtype=np.int64)
    for place, row in enumerate(rows):
        out[place, : len(row)] = row
    return out


def _network(counts: np.ndarray, dim: int, dropout: float) -> torch.nn.Module:
    import torch
    from torch import nn

    from score_rag.crm.rates import like_rates

    class Network(nn.Module):
        """(Histories [h, length] of signed items, row of each pair's history [n], items [n], counts [n, 2]) to logits [n]."""

        def __init__(self) -> None:
            super().__init__()
            self.items = nn.Embedding(len(counts), dim, padding_idx=0)
            self.bias = nn.Embedding(len(counts), 1, padding_idx=0)
            self.rates = like_rates(counts)
            self.activation = nn.Sequential(nn.Linear(3 * dim + 1, 16), nn.GELU(), nn.Linear(16, 1))
            last = nn.Linear(32, 1)
            self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(3 * dim + 4, 32), nn.GELU(), nn.Dropout(dropout), last)
            nn.init.normal_(self.items.weight[1:], std=0.1)
            nn.init.zeros_(self.bias.weight)
            # The score starts as what like-rates say.
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

        def surprise(self, ids: torch.Tensor) -> torch.Tensor:
            """What each verdict adds to its item's like-rate, [n, length]: 1 - rate or -rate."""
            rates = torch.sigmoid(self.rates.middle + self.rates.item(ids.abs())).detach()
            return (ids > 0).float() - rates

        def values(self, ids: torch.Tensor) -> torch.Tensor:
            """[n, length, dim]."""
            out: torch.Tensor = self.items(ids.abs()) * self.surprise(ids)[..., None]
            return out

        def weights(self, ids: torch.Tensor, row: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            """Attention [n, length]: sums to 1 over what was judged, 0 at padding; all zeros for an empty history."""
            keys, asked = self.items(ids.abs())[row], self.items(target)[:, None].expand(-1, ids.shape[1], -1)
            signs = (ids > 0).float()[row][..., None]
            raw = self.activation(torch.cat([keys, asked, keys * asked, signs], dim=-1))[..., 0]
            raw = raw.masked_fill(ids[row] == 0, float("-inf"))
            return torch.nan_to_num(torch.softmax(raw.float(), dim=1))

        def forward(
            self, ids: torch.Tensor, row: torch.Tensor, target: torch.Tensor, before: torch.Tensor, label: torch.Tensor | None = None
        ) -> torch.Tensor:
            weights = self.weights(ids, row, target)
            interest = (weights[..., None] * self.values(ids)[row]).sum(1)
            evidence = (weights * self.surprise(ids)[row]).sum(1)
            asked = self.items(target)
            own = torch.stack([self.rates.item(target, label), self.rates.user(before), torch.log1p(before[:, 1]) / 5, evidence], dim=1)
            out = self.head(torch.cat([interest, asked, interest * asked, own], dim=1))[:, 0]
            logits: torch.Tensor = out + self.bias(target)[:, 0] + self.rates(target, before, label)
            return logits

    return Network()
