"""The layers below those that are tuned: frozen, they say the same of a document each time, so they are asked once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from torch import nn

from score_rag.retriever.layers import layers_of

__all__ = ["frozen_layers_cached"]

_BUDGET = 2**30
"""Bytes of kept outputs; what comes when they are full is computed each time."""


@contextmanager
def frozen_layers_cached(network: Any, last: int | None, *, budget: int = _BUDGET) -> Iterator[None]:
    """Inside, a network computes its embeddings and the layers below its `last` ones once for each document.

    They run without dropout and without gradients, in the network's own precision. Afterwards the network is as it was.

    Args:
        network: A transformers encoder, its layers where `layers_of` finds them.
        last: How many layers are tuned; None: all, and nothing is kept.
        budget: Bytes of outputs to keep.

    Raises:
        ModelError: As `layers_of`.
    """
    if last is None:
        yield
        return
    owner, name, layers = layers_of(network)
    below, tuned = layers[: len(layers) - last], layers[max(0, len(layers) - last) :]
    place = next((word for word in ("embeddings", "embed_tokens") if isinstance(getattr(network, word, None), nn.Module)), None)
    if place is None or not below:
        yield
        return
    embeddings = getattr(network, place)
    short = nn.ModuleList(tuned)
    cache = _Below(budget)

    def install(kept: bool) -> None:
        setattr(network, place, cache if kept else embeddings)
        setattr(owner, name, short if kept else layers)

    def compute(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """What the first tuned layer is given."""
        install(False)
        training = network.training
        hook = tuned[0].register_forward_pre_hook(_stop, with_kwargs=True)
        try:
            with torch.no_grad():
                network.eval()(**inputs)
        except _Reached as reached:
            return reached.states
        finally:
            hook.remove()
            network.train(training)
            install(True)
        raise AssertionError("an encoder that does not ask its layers")

    cache.compute = compute
    plain = network.forward

    # Not a hook: sentence-transformers calls `forward` itself.
    @wraps(plain)
    def forward(*args: Any, **more: Any) -> Any:
        cache.mask = more["attention_mask"]
        return plain(*args, **more)

    network.forward = forward
    install(True)
    try:
        yield
    finally:
        del network.forward
        install(False)


class _Reached(Exception):
    """The first tuned layer was reached; this is what it was given."""

    def __init__(self, states: torch.Tensor) -> None:
        self.states = states


def _stop(layer: Any, args: tuple[Any, ...], more: dict[str, Any]) -> None:
    raise _Reached(args[0] if args else more["hidden_states"])


class _Below(nn.Module):
    """Stands for a network's embeddings, and gives what comes out of its frozen layers."""

    def __init__(self, budget: int) -> None:
        super().__init__()
        self.compute: Callable[[dict[str, torch.Tensor]], torch.Tensor]
        self._budget = budget
        self._kept: dict[bytes, torch.Tensor] = {}
        self.mask: torch.Tensor
        """Of the documents that come next: embeddings are not told what is padding."""

    def forward(self, input_ids: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        """[documents, tokens, width]; 0 at padding, where no layer looks."""
        masks = self.mask
        there = masks.bool()
        keys = [ids[real].cpu().numpy().tobytes() for ids, real in zip(input_ids, there, strict=True)]
        fresh = {key: row for row, key in enumerate(keys) if key not in self._kept}
        found: dict[bytes, torch.Tensor] = {}
        if fresh:
            rows = torch.tensor(list(fresh.values()), device=input_ids.device)
            computed = self.compute({"input_ids": input_ids[rows], "attention_mask": masks[rows]})
            for states, (key, row) in zip(computed, fresh.items(), strict=True):
                found[key] = states[there[row]]
                size = found[key].numel() * found[key].element_size()
                if size <= self._budget:
                    self._budget -= size
                    self._kept[key] = found[key].clone()
        documents = [found[key] if key in found else self._kept[key] for key in keys]
        out = documents[0].new_zeros(*input_ids.shape, documents[0].shape[-1])
        out[there] = torch.cat(documents)
        return out
