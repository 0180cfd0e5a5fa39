"""SASRec: self-attention over what a user liked, in order (Kang and McAuley, 2018; arXiv 1808.09781).

Inputs are the items that the user judged strictly before the question; the vector after the last of them is the user's, and its inner
product with an item's vector (plus the item's bias) is the logit of liking. Two things differ from the paper, because explicit data says
what was disliked: a disliked item enters with its vector turned round (with `history="positives"` only liked items enter, as in the
paper), and the loss is binary cross-entropy on each next judgement as it was given, plus sampled items that the user never judged as
weaker "no"s.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from score_rag.data.interactions import Interactions
from score_rag.data.log import Event
from score_rag.errors import InputError, ModelError
from score_rag.files import read_json, write_json
from score_rag.progress import Report, silent

if TYPE_CHECKING:
    import torch

__all__ = ["SASRec"]


class SASRec:
    """The recommender. Construct, then `fit`; or `from_pretrained`.

    Args:
        dim: Width of item and user vectors.
        layers: Self-attention blocks.
        heads: Attention heads; divides `dim`.
        dropout: While training.
        max_length: The most recent so many items are read.
        history: `all` judgements, or `positives` only.
    """

    def __init__(
        self,
        *,
        dim: int = 48,
        layers: int = 2,
        heads: int = 2,
        dropout: float = 0.2,
        max_length: int = 50,
        history: Literal["all", "positives"] = "all",
    ) -> None:
        if dim % heads:
            raise InputError("the heads do not divide the width", where="crm.heads", expected=f"a divisor of {dim}", found=heads)
        self.settings: dict[str, Any] = {"dim": dim, "layers": layers, "heads": heads, "dropout": dropout, "max_length": max_length}
        self.history = history
        self.item_ids: list[str] = []
        self.metrics: dict[str, Any] = {}
        self._place: dict[str, int] = {}
        self._network: Any = None

    def fit(
        self,
        interactions: Interactions,
        *,
        epochs: int = 30,
        patience: int = 4,
        learning_rate: float = 2e-3,
        batch_size: int = 64,
        weight_decay: float = 1e-2,
        negatives: int = 1,
        negative_weight: float = 0.2,
        seed: int = 0,
        device: str = "cpu",
        report: Report = silent,
    ) -> SASRec:
        """Train on training events; keep the epoch with the best AUC on validation events.

        Args:
            negatives: Sampled unjudged items for each judgement.
            negative_weight: Weight of their loss.
        """
        from score_rag.crm.train import fit_network

        self._prepare(list(interactions.catalogue), seed)
        self.metrics = fit_network(
            self._network,
            _Task(self, interactions, negatives=negatives, negative_weight=negative_weight, seed=seed),
            epochs=epochs,
            patience=patience,
            learning_rate=learning_rate,
            batch_size=batch_size,
            weight_decay=weight_decay,
            seed=seed,
            device=device,
            report=report,
        )
        return self

    def user_vectors(self, histories: Sequence[Sequence[Event]]) -> np.ndarray:
        """float32 [n, dim], one for each history (oldest first); all zeros where nothing is known."""
        import torch

        out = np.zeros((len(histories), self.settings["dim"]), dtype=np.float32)
        rows = [self._tokens(history) for history in histories]
        filled = [place for place, row in enumerate(rows) if row]
        self._network.eval()
        with torch.inference_mode():
            for start in range(0, len(filled), 256):
                part = filled[start : start + 256]
                ids = torch.from_numpy(_pad([rows[place] for place in part]))
                ends = torch.tensor([len(rows[place]) - 1 for place in part])
                states = self._network(ids)
                out[part] = states[torch.arange(len(part)), ends].numpy()
        return out

    def item_vectors(self) -> np.ndarray:
        """float32 [items, dim], in the order of `item_ids`."""
        vectors: np.ndarray = self._network.items.weight[1:].detach().numpy().copy()
        return vectors

    def item_biases(self) -> np.ndarray:
        """float32 [items]."""
        biases: np.ndarray = self._network.bias.weight[1:, 0].detach().numpy().copy()
        return biases

    def score(self, history: Sequence[Event], item_ids: Sequence[str]) -> np.ndarray:
        """Logits of liking, float32 [len(item_ids)]; for somebody without a liked item, the items' biases.

        Raises:
            InputError: An item that is not in the catalogue.
        """
        return self.score_many([history], [item_ids])[0]

    def score_many(self, histories: Sequence[Sequence[Event]], item_ids: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """`score` for many histories at once."""
        strangers = [item for row in item_ids for item in row if item not in self._place]
        if strangers:
            raise InputError("the recommender does not know these items", found=", ".join(strangers[:5]))
        users, items, biases = self.user_vectors(histories), self.item_vectors(), self.item_biases()
        places = [[self._place[item] - 1 for item in row] for row in item_ids]
        return [items[row] @ user + biases[row] for user, row in zip(users, places, strict=True)]

    def recommend(self, history: Sequence[Event], k: int, *, exclude: Collection[str] = ()) -> list[tuple[str, float]]:
        """The `k` items with the highest logits, best first, without those in `exclude`."""
        scores = self.score(history, self.item_ids)
        order = np.argsort(-scores, kind="stable")
        return [(self.item_ids[place], float(scores[place])) for place in order if self.item_ids[place] not in exclude][:k]

    def save_pretrained(self, folder: Path | str) -> None:
        """Write `config.json` and `model.safetensors`."""
        from safetensors.torch import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "config.json", {**self.settings, "history": self.history, "items": self.item_ids, "metrics": self.metrics})
        save_file({name: tensor.contiguous() for name, tensor in self._network.state_dict().items()}, str(folder / "model.safetensors"))

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> SASRec:
        """Read what `save_pretrained` wrote.

        Raises:
            ModelError: The folder has no model.
        """
        from safetensors.torch import load_file

        folder = Path(folder)
        if not (folder / "model.safetensors").is_file():
            raise ModelError("there is no trained recommender here", where=folder, hint="score-rag run PIPELINE --until crm")
        settings = read_json(folder / "config.json")
        items, metrics = settings.pop("items"), settings.pop("metrics")
        model = cls(**settings)
        model._prepare(items, 0)
        model._network.load_state_dict(load_file(str(folder / "model.safetensors")))
        model.metrics = metrics
        return model

    def _prepare(self, item_ids: list[str], seed: int) -> None:
        import torch

        torch.manual_seed(seed)
        self.item_ids = item_ids
        self._place = {item_id: place for place, item_id in enumerate(item_ids, start=1)}
        self._network = _network(len(item_ids), **self.settings)

    def _tokens(self, history: Sequence[Event]) -> list[int]:
        """Item places of the most recent judgements, negative where disliked."""
        return [token for token in map(self._token, history) if token][-int(self.settings["max_length"]) :]

    def _token(self, event: Event) -> int:
        """The item's place; negative where it was disliked; 0 where the judgement is not read."""
        place = self._place[event.item_id]
        return place if event.liked else -place if self.history == "all" else 0


def _network(items: int, *, dim: int, layers: int, heads: int, dropout: float, max_length: int) -> torch.nn.Module:
    import torch
    from torch import nn

    class Network(nn.Module):
        """Tokens [batch, length] (an item's place, negative where disliked; 0 pads the right) to states [batch, length, dim].

        State t has read tokens 0..t.
        """

        def __init__(self) -> None:
            super().__init__()
            self.items = nn.Embedding(items + 1, dim, padding_idx=0)
            self.places = nn.Embedding(max_length, dim)
            self.bias = nn.Embedding(items + 1, 1, padding_idx=0)
            self.verdict = nn.Embedding(2, dim)
            block = nn.TransformerEncoderLayer(dim, heads, 2 * dim, dropout, activation="gelu", batch_first=True, norm_first=True)
            self.blocks = nn.TransformerEncoder(block, layers, enable_nested_tensor=False)
            self.norm = nn.LayerNorm(dim)
            self.dropout = nn.Dropout(dropout)
            nn.init.normal_(self.items.weight, std=0.05)
            nn.init.normal_(self.places.weight, std=0.05)
            nn.init.normal_(self.verdict.weight, std=0.05)
            nn.init.zeros_(self.bias.weight)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            length = ids.shape[1]
            read = self.items(ids.abs()) * ids.sign()[..., None] + self.verdict((ids > 0).long())
            states = self.dropout(read + self.places(torch.arange(length, device=ids.device)))
            # Padding stands at the right, so the causal mask alone keeps it from being read.
            mask = torch.ones(length, length, dtype=torch.bool, device=ids.device).triu(1)
            return self.norm(self.blocks(states, mask=mask))  # type: ignore[no-any-return]

    return Network()


class _Task:
    """What the training loop asks for: batches of users, their loss, and a validation score."""

    def __init__(self, model: SASRec, interactions: Interactions, *, negatives: int, negative_weight: float, seed: int) -> None:
        self.model = model
        self.negatives = negatives
        self.negative_weight = negative_weight
        self.items = len(model.item_ids)
        by_user: dict[str, list[Event]] = {}
        for event in interactions.rows("train"):
            by_user.setdefault(event.user_id, []).append(event)
        self.strict = interactions.ties == "strict"
        self.rows = [row for events in by_user.values() for row in self._sequences(events)]
        valid = list(interactions.rows("valid"))[:4000]
        self.valid_histories = [interactions.log.earlier(event) for event in valid]
        self.valid_items = [[event.item_id] for event in valid]
        self.valid_labels = np.array([int(event.liked) for event in valid])

    def _sequences(self, events: Sequence[Event]) -> list[tuple[list[int], list[tuple[int, int, int]]]]:
        """(tokens, targets) in windows; a target is (last place that is earlier, item, label). Sampled negatives are targets only."""
        place, size = self.model._place, int(self.model.settings["max_length"])
        read: list[tuple[int, int]] = []
        out: list[tuple[list[int], list[tuple[int, int, int]]]] = []
        targets: list[tuple[int, int, int]] = []
        start = 0
        for event in events:
            known = len(read)
            while self.strict and known and read[known - 1][1] >= event.timestamp:
                known -= 1
            if known - start > size:
                out.append(([item for item, _ in read[start : start + size]], targets))
                start, targets = max(known - size // 2, 0), []
            if known - start >= 1:
                targets.append((known - start - 1, place[event.item_id], int(event.liked)))
            token = self.model._token(event)
            if token and not event.sampled:
                read.append((token, event.timestamp))
        out.append(([item for item, _ in read[start : start + size]], [t for t in targets if t[0] < size]))
        return [(items, found) for items, found in out if found]

    def __len__(self) -> int:
        return len(self.rows)

    def loss(self, network: Any, batch: Sequence[int], generator: np.random.Generator) -> torch.Tensor:
        import torch
        from torch.nn import functional

        device = next(network.parameters()).device
        rows = [self.rows[place] for place in batch]
        states = network(torch.from_numpy(_pad([items for items, _ in rows])).to(device))
        row = torch.tensor([number for number, (_, targets) in enumerate(rows) for _ in targets], device=device)
        table = np.array([target for _, targets in rows for target in targets])
        where = torch.from_numpy(table[:, 0]).to(device)
        item = torch.from_numpy(table[:, 1]).to(device)
        label = torch.from_numpy(table[:, 2]).float().to(device)
        user = states[row, where]
        logits = (user * network.items(item)).sum(-1) + network.bias(item)[:, 0]
        loss = functional.binary_cross_entropy_with_logits(logits, label)
        if self.negatives:
            drawn = torch.from_numpy(generator.integers(1, self.items + 1, (len(table), self.negatives))).to(device)
            # The bias is left out: it says how an item is judged, and not being judged is no judgement.
            away = (user[:, None] * network.items(drawn)).sum(-1)
            weak = functional.binary_cross_entropy_with_logits(away, torch.zeros_like(away))
            loss = loss + self.negative_weight * weak
        return loss

    def validate(self) -> float | None:
        """AUC on validation events, from strictly earlier histories; None where one label is missing."""
        if len(set(self.valid_labels.tolist())) < 2:
            return None
        from score_rag.evaluation.metrics import auc

        scores = np.array([row[0] for row in self.model.score_many(self.valid_histories, self.valid_items)])
        return auc(self.valid_labels, scores)


def _pad(rows: Sequence[Sequence[int]]) -> np.ndarray:
    """int64 [n, longest], zeros at the right."""
    out = np.zeros((len(rows), max(len(row) for row in rows)), dtype=np.int64)
    for place, row in enumerate(rows):
        out[place, : len(row)] = row
    return out
