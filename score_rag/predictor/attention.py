"""Where the verdict looks: the attention of a prompt's last place, where Yes or No is read off, to each token before it.

Computed in two steps, so that a long prompt needs no [tokens, tokens] matrix: all but the last token fill the cache, then the last one
alone is read with attention written out (`eager`, the only kind of transformers that gives its weights).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from score_rag.errors import ModelError
from score_rag.files import read_json
from score_rag.predictor.engines.torch import can_compute_in_pieces
from score_rag.predictor.tokens import PlacedTokens, place_tokens

__all__ = ["AttentionReader", "verdict_attention"]


class AttentionReader:
    """Reads prompts with a predictor's own weights, and tells where its verdict looked.

    Args:
        model: A causal model of transformers, or a peft model around one.
        place: From a prompt to its tokens.
    """

    def __init__(self, model: Any, place: Callable[[str], PlacedTokens]) -> None:
        self.model = model
        self.place = place

    @classmethod
    def from_pretrained(cls, folder: Path | str, *, device: str | None = None) -> AttentionReader:
        """The reader of a finished predictor folder.

        Args:
            device: `cpu`, `cuda`, ...; the first GPU, if there is one, by default.

        Raises:
            ModelError: A part is missing or does not fit.
        """
        from score_rag.predictor.load import load_tuned

        folder = Path(folder)
        facts = read_json(folder / "predictor.json")
        bundled = bool(facts["bundled"])
        base = str(folder / "base") if bundled else str(facts["base"])
        return cls(load_tuned(folder, facts, device=device), place_tokens(base, bundled=bundled))

    def read(self, prompt: str) -> tuple[PlacedTokens, np.ndarray]:
        """(the prompt's tokens, attention [layers, heads, tokens] of its last place); each head's weights sum to 1."""
        tokens = self.place(prompt)
        return tokens, verdict_attention(self.model, tokens.ids)


def verdict_attention(model: Any, ids: Sequence[int]) -> np.ndarray:
    """float64 [layers, heads, tokens]: attention of the last token, itself included.

    Args:
        model: A causal model of transformers, or a peft model around one.
        ids: At least one token.

    Raises:
        ModelError: The model gives no attention weights.
    """
    import torch
    from transformers import DynamicCache

    device = next(model.parameters()).device
    whole = torch.tensor([list(ids)], device=device)
    split = len(ids) - 1 if can_compute_in_pieces(model, len(ids)) else 0
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            cache = DynamicCache(config=model.config)
            if split:
                model(input_ids=whole[:, :split], past_key_values=cache, use_cache=True, logits_to_keep=1)
            with _written_out(model):
                found = model(
                    input_ids=whole[:, split:],
                    position_ids=torch.arange(split, len(ids), device=device)[None],
                    past_key_values=cache,
                    use_cache=True,
                    output_attentions=True,
                    logits_to_keep=1,
                ).attentions
    finally:
        model.train(training)
    if not found or any(layer is None for layer in found):
        raise ModelError("this model gives no attention weights", where=type(model).__name__, expected="a model with eager attention")
    return np.stack([layer[0, :, -1].double().cpu().numpy() for layer in found])


@contextmanager
def _written_out(model: Any) -> Iterator[None]:
    """Attention whose weights can be read; the model's own kind afterwards."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    before = inner.config._attn_implementation
    inner.set_attn_implementation("eager")
    try:
        yield
    finally:
        inner.set_attn_implementation(before)
