"""Any causal model of transformers, with its LoRA adapter; a beginning that prompts share is computed once.

A group of rows that share a beginning is scored in three steps: the beginning alone fills a cache of keys and values; the rests of many
rows are laid end to end in one sequence, under a mask that lets each see the beginning and itself; only the logits where rows end are
computed. Nothing is padded and the cache is never copied for a batch. The cache stays for the next group, which computes only what it
does not share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from score_rag.predictor.answer import Answer
from score_rag.predictor.engines.engine import TokenEngine
from score_rag.predictor.engines.prefix import plan_prefixes, shared_beginning
from score_rag.progress import Report, silent

if TYPE_CHECKING:
    import torch

__all__ = ["TorchEngine", "can_compute_in_pieces", "pad_left", "score_tokens"]

_FIXED_ROPE = ("default", "linear", "llama3", "yarn")
"""Rotary embeddings whose angles do not depend on the length of the input: only these can be computed in pieces."""


class TorchEngine(TokenEngine):
    """Scores with a model in memory.

    Args:
        model: A causal model of transformers, or a peft model around one.
        encode: Text to token ids.
        answers: Token ids of Yes and No.
        max_tokens: Longest row.
        batch_tokens: Most tokens in one forward pass.
        share: Compute shared beginnings once.
    """

    def __init__(
        self,
        model: Any,
        encode: Callable[[str], Sequence[int]],
        answers: tuple[int, int],
        *,
        max_tokens: int,
        batch_tokens: int = 8192,
        share: bool = True,
    ) -> None:
        super().__init__(encode, answers, max_tokens)
        self.model = model
        self.batch_tokens = batch_tokens
        self.share = share

    def score_rows(self, rows: Sequence[list[int]], report: Report) -> list[Answer]:
        """One answer a row."""
        pairs = score_tokens(self.model, rows, *self.answers, batch_tokens=self.batch_tokens, share=self.share, report=report)
        return [Answer(float(p), float(mass)) for p, mass in pairs]


def score_tokens(
    model: Any,
    rows: Sequence[Sequence[int]],
    yes: int,
    no: int,
    *,
    batch_tokens: int = 8192,
    share: bool = True,
    report: Report = silent,
) -> np.ndarray:
    """[n, 2]: probability of Yes, and the mass of both answers, for each row of token ids.

    Args:
        model: A causal model of transformers, or a peft model around one.
        rows: Token ids; none is empty.
        yes: Token id of Yes.
        no: Token id of No.
        batch_tokens: Most tokens in one forward pass (a longer row has its own).
        share: Compute shared beginnings once.
        report: Told after every forward pass.
    """
    import torch

    places: dict[tuple[int, ...], list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(tuple(row), []).append(place)
    unique = list(places)
    can_share, can_batch = _abilities(model, max(map(len, unique), default=0))
    training = model.training
    model.eval()
    out = np.zeros((len(rows), 2))
    done = 0
    try:
        with torch.inference_mode():
            scored = (
                _shared(model, unique, batch_tokens)
                if share and can_share
                else _batched(model, unique, range(len(unique)), batch_tokens if can_batch else 0)
            )
            for batch, logits in scored:
                pairs = _pairs(logits, yes, no)
                for one, pair in zip(batch, pairs, strict=True):
                    out[places[unique[one]]] = pair
                    done += len(places[unique[one]])
                report("asking", done, len(rows))
    finally:
        model.train(training)
    return out


def _pairs(logits: torch.Tensor, yes: int, no: int) -> np.ndarray:
    import torch

    logits = logits.double()
    both = logits[:, [yes, no]]
    probability = torch.sigmoid(both[:, 0] - both[:, 1])
    mass = (torch.logsumexp(both, dim=1) - torch.logsumexp(logits, dim=1)).exp()
    return torch.stack([probability, mass], dim=1).cpu().numpy()


def _abilities(model: Any, longest: int) -> tuple[bool, bool]:
    """(can compute a row in pieces, can compute rows of unlike length together) with the same numbers as one by one."""
    config = model.config.get_text_config()
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = (
        {rope.get("rope_type", "default")}
        if "rope_type" in rope or not rope
        else {one.get("rope_type") for one in rope.values() if isinstance(one, dict)}
    )
    before = rope.get("original_max_position_embeddings") or config.max_position_embeddings
    fixed = kinds <= set(_FIXED_ROPE) or longest <= before
    plain = set(getattr(config, "layer_types", None) or ["full_attention"]) == {"full_attention"} and not getattr(
        config, "sliding_window", None
    )
    return fixed and plain and config._attn_implementation in ("sdpa", "eager"), fixed


def can_compute_in_pieces(model: Any, longest: int) -> bool:
    """Whether a row of so many tokens can be computed in pieces, through a cache, with the same numbers as whole."""
    return _abilities(model, longest)[0]


def _batched(model: Any, rows: Sequence[Sequence[int]], some: Sequence[int], batch_tokens: int) -> Iterator[tuple[list[int], torch.Tensor]]:
    """(row numbers, logits [n, vocabulary]) of each batch of rows of similar length, padded to the left."""
    import torch

    from score_rag.inference.onnx import length_buckets

    device = next(model.parameters()).device
    for bucket in length_buckets([len(rows[row]) for row in some], tokens=batch_tokens):
        batch = [some[place] for place in bucket]
        ids, mask = pad_left([rows[row] for row in batch])
        logits = model(
            input_ids=torch.from_numpy(ids).to(device),
            attention_mask=torch.from_numpy(mask).to(device),
            position_ids=torch.from_numpy(np.maximum(mask.cumsum(1) - 1, 0)).to(device),
            use_cache=False,
            logits_to_keep=1,
        ).logits[:, -1]
        yield batch, logits


def _shared(model: Any, rows: Sequence[tuple[int, ...]], batch_tokens: int) -> Iterator[tuple[list[int], torch.Tensor]]:
    """(row numbers, logits) of rows grouped by their beginnings, and of those that stand alone."""
    prefix = _Prefix(model)
    for group in plan_prefixes(rows):
        if not group.shared:
            yield from _batched(model, rows, group.rows, batch_tokens)
            continue
        prefix.become(rows[group.rows[0]][: group.shared])
        # Each rest also meets its neighbours' keys, only to have them masked: about as many as the beginning has cost little.
        size = min(batch_tokens, max(128, group.shared // 2))
        batch: list[int] = []
        tokens = 0
        for row in group.rows:
            rest = len(rows[row]) - group.shared
            if batch and tokens + rest > size:
                yield batch, prefix.ask([rows[one][group.shared :] for one in batch])
                batch, tokens = [], 0
            batch.append(row)
            tokens += rest
        yield batch, prefix.ask([rows[one][group.shared :] for one in batch])


class _Prefix:
    """Keys and values of one beginning: extended and cropped, never copied."""

    def __init__(self, model: Any) -> None:
        from transformers import DynamicCache

        self.model = model
        self.device = next(model.parameters()).device
        self.dtype = model.get_input_embeddings().weight.dtype
        self.ids: list[int] = []
        self.cache = DynamicCache(config=model.config)

    def become(self, ids: Sequence[int]) -> None:
        """Hold this beginning; what it shares with the present one is kept."""
        import torch

        ids = list(ids)
        keep = shared_beginning([[*self.ids, -1], [*ids, -2]])
        if keep < len(self.ids):
            self.cache.crop(keep - len(self.ids))
        if keep < len(ids):
            self.model(
                input_ids=torch.tensor([ids[keep:]], device=self.device),
                position_ids=torch.arange(keep, len(ids), device=self.device)[None],
                past_key_values=self.cache,
                use_cache=True,
                logits_to_keep=1,
            )
        self.ids = ids

    def ask(self, rests: Sequence[Sequence[int]]) -> torch.Tensor:
        """[n, vocabulary]: logits after the beginning and each rest."""
        import torch

        lengths = np.array([len(rest) for rest in rests])
        ends, start, total = lengths.cumsum(), len(self.ids), int(lengths.sum())
        owner = np.repeat(np.arange(len(rests)), lengths)
        inside = np.arange(total) - np.repeat(ends - lengths, lengths)
        sees = (owner[:, None] == owner[None, :]) & (inside[:, None] >= inside[None, :])
        mask = torch.zeros((1, 1, total, start + total), dtype=self.dtype)
        mask[0, 0, :, start:].masked_fill_(torch.from_numpy(~sees), torch.finfo(self.dtype).min)
        logits: torch.Tensor = self.model(
            input_ids=torch.tensor([[token for rest in rests for token in rest]], device=self.device),
            attention_mask=mask.to(self.device),
            position_ids=torch.from_numpy(inside + start)[None].to(self.device),
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=torch.from_numpy(ends - 1).to(self.device),
        ).logits[0]
        self.cache.crop(-total)
        return logits


def pad_left(rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """(ids, mask), int64 [n, longest]: the last token of every row stands in the last column."""
    longest = max(len(row) for row in rows)
    ids = np.zeros((len(rows), longest), dtype=np.int64)
    mask = np.zeros((len(rows), longest), dtype=np.int64)
    for place, row in enumerate(rows):
        ids[place, longest - len(row) :] = row
        mask[place, longest - len(row) :] = 1
    return ids, mask
