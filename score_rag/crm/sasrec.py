"""SASRec: self-attention over what a user liked, in order (Kang and McAuley, 2018; arXiv 1808.09781).

Inputs are the items that the user judged strictly before the question; the vector after the last of them is the user's, and its inner
product with an item's vector, from the same matrix that is read, plus the item's bias is the score. Two things differ from the paper,
because explicit data says what was disliked: a disliked item enters with its vector negated (with `history="positives"` only liked
items enter, as in the paper), and the loss `bce` takes each next judgement as it was given, perhaps beside sampled ones as weaker "no"s.
There the score starts from like-rates (see `rates`). The loss `softmax` asks instead which item of the whole catalogue was liked next: for
ranking, not for judging.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from score_rag.crm.attention import attention_network
from score_rag.crm.interface import UserHistory
from score_rag.crm.judgements import Judgements, tokens
from score_rag.crm.learned import LearnedVectorModel, NegativeSampling
from score_rag.crm.losses import pair_loss
from score_rag.crm.plain import PlainNetwork
from score_rag.crm.plain_networks import PlainAttention
from score_rag.crm.settings import SASRecSettings

if TYPE_CHECKING:
    import torch

__all__ = ["SASRec"]


class SASRec(LearnedVectorModel):
    """The recommender. Construct, then `fit`; or `from_pretrained`.

    It learns nothing of users by name: everybody is their history. Somebody without one has a vector of zeros, which is nobody's neighbour,
    and is scored by the items' biases. An item without training events has the mean's bias and what its genres and year tell of it (without
    `content`: a small random vector).

    Args:
        settings: See `SASRecSettings`; `content` is not in the paper.
        history: `all` judgements, or `positives` only.
        changes: Single settings.

    Raises:
        InputError: The heads do not divide the width.
    """

    kind: ClassVar[str] = "sasrec"
    name: ClassVar[str] = "SASRec"
    batch: ClassVar[int] = 64

    settings_model: ClassVar[type[SASRecSettings]] = SASRecSettings
    settings: SASRecSettings

    def _offsets(self, asked: Sequence[UserHistory], vectors: np.ndarray) -> np.ndarray:
        rates = self._network.rates
        if rates is None:
            return super()._offsets(asked, vectors)
        found: np.ndarray = self._say(self._network.offset, vectors)[:, 0] + self._say(rates.offsets, self._before(asked))
        return found

    def _vectors(self, asked: Sequence[UserHistory]) -> np.ndarray:
        size = self.settings.max_length
        out = np.zeros((len(asked), self.settings.dim), dtype=np.float32)
        rows = [tokens(one.history[-size:] if self.history == "all" else one.history, self._place, self.history)[-size:] for one in asked]
        # Alike lengths side by side: less padding.
        filled = sorted((place for place, row in enumerate(rows) if row), key=lambda place: len(rows[place]))
        for start in range(0, len(filled), 256):
            part = filled[start : start + 256]
            states = self._say(self._network, _pad([rows[place] for place in part]))
            out[part] = states[np.arange(len(part)), [len(rows[place]) - 1 for place in part]]
        return out

    def _build(self, counts: np.ndarray, users: int) -> torch.nn.Module:
        settings = self.settings.model_dump(exclude={"loss", "content"})
        return attention_network(counts, self._content, rates=self.settings.loss == "bce", **settings)

    def _plain(self, tensors: Mapping[str, np.ndarray]) -> PlainNetwork:
        return PlainAttention(tensors, layers=self.settings.layers, heads=self.settings.heads)

    def _task(self, judged: Judgements, drawing: NegativeSampling) -> tuple[int, Any]:
        import torch

        windows = windows_of(judged, self.settings.max_length)
        item, liked, before = (torch.from_numpy(column) for column in (judged.item, judged.liked.astype(np.float32), judged.before))

        def loss(network: Any, batch: np.ndarray, generator: np.random.Generator) -> torch.Tensor:
            device = network.norm.weight.device
            some = [windows[place] for place in batch]
            states = network(torch.from_numpy(_pad([window.tokens for window in some])).to(device))
            row = np.repeat(np.arange(len(some)), [len(window.targets) for window in some])
            user = states[torch.from_numpy(row).to(device), torch.from_numpy(np.concatenate([w.states for w in some])).to(device)]
            targets = torch.from_numpy(np.concatenate([window.targets for window in some]))
            place, label = item[targets].to(device), liked[targets].to(device)
            rates = network.rates
            return pair_loss(
                user,
                network.items(),
                network.bias.weight[:, 0],
                place,
                label,
                offset=None if rates is None else rates(place, before[targets].to(device), label) + network.offset(user)[:, 0],
                kind=self.settings.loss,
                negatives=drawing.negatives,
                negative_weight=drawing.weight,
                generator=generator,
            )

        return len(windows), loss


class Window(NamedTuple):
    """Some of a user's tokens and the targets that are judged from them: `targets` are rows of the judgements, `states` the place of the
    last token that each may read."""

    tokens: np.ndarray
    states: np.ndarray
    targets: np.ndarray


def windows_of(judged: Judgements, size: int) -> list[Window]:
    """Windows of at most `size` tokens; a new one starts half a window back. Targets without anything before them are left out."""
    out: list[Window] = []
    ends = np.searchsorted(judged.user, np.arange(len(judged.users)), side="right").tolist()
    row = 0
    for end, read in zip(ends, judged.tokens, strict=True):
        # Ascending: how many tokens each target may read.
        known = judged.known[row:end]
        start, first = 0, 0
        while first < len(known):
            behind, last = np.searchsorted(known, (start, start + size), side="right").tolist()
            first = max(first, behind)
            if first < last:
                # Tokens behind the last state that is asked for would be computed for nothing.
                out.append(Window(read[start : known[last - 1]], known[first:last] - start - 1, np.arange(row + first, row + last)))
            first, start = last, int(known[last]) - size // 2 if last < len(known) else 0
        row = end
    return out


def _pad(rows: Sequence[Sequence[int] | np.ndarray]) -> np.ndarray:
    """int64 [n, longest], zeros at the right."""
    out = np.zeros((len(rows), max(len(row) for row in rows)), dtype=np.int64)
    for place, row in enumerate(rows):
        out[place, : len(row)] = row
    return out
