"""DIN: what somebody did counts as much as it has to do with the item in question (Zhou et al., 2018; arXiv 1706.06978)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from score_rag.crm.din_network import interest_network
from score_rag.crm.interface import UserHistory
from score_rag.crm.judgements import Judgements, tokens
from score_rag.crm.learned import LearnedModel, NegativeSampling
from score_rag.crm.plain import PlainNetwork
from score_rag.crm.plain_networks import PlainInterest
from score_rag.crm.settings import DINSettings

if TYPE_CHECKING:
    import torch

__all__ = ["DIN"]

_CELLS = 200_000
"""Most (judgement, item) pairs that are looked at in one go."""


class DIN(LearnedModel):
    """The recommender: attention from the item in question over the history, then a small perceptron.

    It reads what items are told of (genres, year) beside their numbers, as the paper reads categories. Attention has a few heads; each
    head's weights sum to 1 together with a place for looking away (the paper leaves them unnormalized; here histories differ tenfold in
    length). What is attended to is how a verdict differs from what was to be expected: liked or not, less the item's like-rate and the
    user's. The score starts from like-rates (see `rates`) and that evidence; loss is binary cross-entropy.

    Its user vector, for neighbours: the mean over the history of items' vectors times how their verdicts differ from the items' like-rates,
    which is the interest that attention would see if it looked at nothing in particular. Somebody without a history has zeros, which is
    nobody's neighbour; the score is then a matter of the item alone. An item without training events is known by its genres and its year.

    Args:
        settings: See `DINSettings`.
        history: `all` judgements, or `positives` only.
        changes: Single settings.
    """

    kind: ClassVar[str] = "din"
    name: ClassVar[str] = "DIN"
    batch: ClassVar[int] = 512
    rate: ClassVar[float] = 8e-3
    patience: ClassVar[int] = 4
    weight_average: ClassVar[float] = 0.98

    settings_model: ClassVar[type[DINSettings]] = DINSettings
    settings: DINSettings

    def _read(self, asked: Sequence[UserHistory]) -> list[list[int]]:
        size = self.settings.max_length
        return [tokens(one.history[-size:] if self.history == "all" else one.history, self._place, self.history)[-size:] for one in asked]

    def _vectors(self, asked: Sequence[UserHistory]) -> np.ndarray:
        out = np.zeros((len(asked), self.settings.dim), dtype=np.float32)
        rows = self._read(asked)
        filled = [place for place, row in enumerate(rows) if row]
        vectors = self._say(self._network.items)
        for start in range(0, len(filled), 1024):
            part = filled[start : start + 1024]
            ids = _left([rows[place] for place in part])
            there = (ids != 0).astype(np.float32)
            out[part] = (self._say(self._network.values, ids, vectors) * there[..., None]).sum(1) / there.sum(1, keepdims=True)
        return out

    def _scores(self, asked: Sequence[UserHistory], places: Sequence[np.ndarray]) -> list[np.ndarray]:
        rows, before = self._read(asked), self._before(asked)
        lengths = [len(place) for place in places]
        flat = np.zeros(sum(lengths), dtype=np.float32)
        if not len(flat):
            return [np.zeros(0, dtype=np.float32) for _ in places]
        owner = np.repeat(np.arange(len(asked)), lengths)
        items = np.concatenate(places) + 1
        # Alike lengths side by side: less padding.
        length = np.array([len(row) for row in rows])[owner]
        order = np.argsort(length, kind="stable")
        start = 0
        while start < len(order):
            # The part's last is its longest.
            end = min(start + max(1, _CELLS // max(1, int(length[order[min(start + 4096, len(order)) - 1]]))), start + 4096)
            part = order[start:end]
            start = end
            who, row = np.unique(owner[part], return_inverse=True)
            flat[part] = self._say(self._network, _left([rows[n] for n in who]), row, items[part], before[owner[part]])
        return np.split(flat, np.cumsum(lengths)[:-1])

    def _build(self, counts: np.ndarray, users: int) -> torch.nn.Module:
        settings = self.settings.model_dump(include={"dim", "heads", "dropout"})
        return interest_network(counts, self._content, **settings)

    def _plain(self, tensors: Mapping[str, np.ndarray]) -> PlainNetwork:
        return PlainInterest(tensors)

    def _task(self, judged: Judgements, drawing: NegativeSampling) -> tuple[int, Any]:
        import torch
        from torch.nn import functional

        size = self.settings.max_length

        def loss(network: Any, batch: np.ndarray, generator: np.random.Generator) -> torch.Tensor:
            # In four parts of alike lengths: less padding.
            batch = batch[np.argsort(np.minimum(judged.known[batch], size), kind="stable")]
            parts = [part for part in np.array_split(batch, 4) if len(part)]
            out: torch.Tensor = sum(some(network, part, generator) * (len(part) / len(batch)) for part in parts)  # type: ignore[assignment]
            return out

        def some(network: Any, batch: np.ndarray, generator: np.random.Generator) -> torch.Tensor:
            device = network.bias.weight.device
            read = [judged.tokens[judged.user[n]][max(judged.known[n] - size, 0) : judged.known[n]] for n in batch]
            ids = torch.from_numpy(_left(read)).to(device)
            item, before = torch.from_numpy(judged.item[batch]).to(device), torch.from_numpy(judged.before[batch]).to(device)
            label = torch.from_numpy(judged.liked[batch].astype(np.float32)).to(device)
            row = torch.arange(len(batch), device=device)
            logits = network(ids, row, item, before, label)
            out = functional.binary_cross_entropy_with_logits(logits, label)
            if drawing.negatives and drawing.weight:
                times = drawing.negatives
                drawn = torch.from_numpy(generator.integers(1, len(self.item_ids) + 1, len(batch) * times)).to(device)
                known = before.repeat_interleave(times, dim=0)
                # What like-rates say of a sampled item is taken off: a sampled negative is no judgement.
                away = network(ids, row.repeat_interleave(times), drawn, known) - network.rates(drawn, known)
                out = out + drawing.weight * functional.binary_cross_entropy_with_logits(away, torch.zeros_like(away))
            return out

        return len(judged), loss


def _left(rows: Sequence[Sequence[int] | np.ndarray]) -> np.ndarray:
    """int64 [n, longest (at least 1)], zeros behind."""
    out = np.zeros((len(rows), max(1, max(len(row) for row in rows))), dtype=np.int64)
    for place, row in enumerate(rows):
        out[place, : len(row)] = row
    return out
