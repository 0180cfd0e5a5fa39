"""DIN's and SASRec's networks in numpy; see `score_rag.crm.plain`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from score_rag.crm.plain import PlainNetwork, PlainRates, gelu, linear, softmax

__all__ = ["PlainAttention", "PlainInterest"]


class PlainInterest(PlainNetwork):
    """`din_network.interest_network`, trained."""

    rates: PlainRates

    def surprise(self, ids: np.ndarray) -> np.ndarray:
        """What each verdict adds to its item's like-rate, [n, length]: 1 - rate or -rate."""
        rates = 1 / (1 + np.exp(-(self.rates.middle + self.rates.item(np.abs(ids)))))
        out: np.ndarray = (ids > 0).astype(np.float32) - rates
        return out

    def values(self, ids: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """[n, length, dim]."""
        out: np.ndarray = vectors[np.abs(ids)] * self.surprise(ids)[..., None]
        return out

    def weights(self, ids: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Attention [n, length, heads]: 0 at padding; sums to 1 with what looks away."""
        vectors, content = self.items(), self.items.content
        keys, asked = vectors[np.abs(ids)], vectors[target][:, None]
        theirs, mine = content[np.abs(ids)], content[target][:, None]
        genre = (theirs[..., :-1] * mine[..., :-1]).sum(-1)
        apart = np.abs(theirs[..., -1] - mine[..., -1])
        near = np.stack([genre, genre**2, np.exp(-2 * apart), np.exp(-apart / 2), (ids > 0).astype(np.float32)], axis=-1)
        inside = gelu(linear(self.tensors, "activation.0", np.concatenate([keys * asked, near], axis=-1)))
        raw = linear(self.tensors, "near", near) + linear(self.tensors, "activation.2", inside)
        raw = np.where((ids == 0)[..., None], np.float32(-np.inf), raw)
        away = np.full((len(raw), 1, raw.shape[-1]), np.log(3.0), dtype=np.float32)
        return softmax(np.concatenate([raw, away], axis=1), axis=1)[:, :-1]

    def __call__(self, ids: np.ndarray, row: np.ndarray, target: np.ndarray, before: np.ndarray) -> np.ndarray:
        vectors, history = self.items(), ids[row]
        weights = self.weights(history, target)
        surprise = (self.surprise(history) - self.rates.rate(before)[:, None]) * (history != 0)
        evidence = (weights * surprise[..., None]).sum(1)
        interest = ((weights.mean(-1) * surprise)[..., None] * vectors[np.abs(history)]).sum(1)
        asked = vectors[target]
        judged = np.log1p(before[:, 1]) / np.float32(5)
        own = np.stack([self.rates.item(target), self.rates.user(before), judged, self.rates.often(target)], axis=1)
        told = np.concatenate([interest, asked, interest * asked, evidence, own], axis=1)
        out = linear(self.tensors, "head.4", gelu(linear(self.tensors, "head.1", told)))[:, 0]
        logits: np.ndarray = out + evidence @ self.tensors["evidence"] + self.bias(target)[:, 0] + self.rates(target, before)
        return logits


class PlainAttention(PlainNetwork):
    """`attention.attention_network`, trained.

    Args:
        tensors: Its weights by name.
        layers: Blocks.
        heads: Of each block.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray], *, layers: int, heads: int) -> None:
        super().__init__(tensors)
        self._layers, self._heads = layers, heads

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        """Signed tokens [batch, length] to states [batch, length, dim]; padding stands at the right."""
        length = ids.shape[1]
        read = self.items()[np.abs(ids)] * np.sign(ids)[..., None].astype(np.float32)
        states = read + self.tensors["verdict.weight"][(ids > 0).astype(np.int64)] + self.tensors["places.weight"][:length]
        for layer in range(self._layers):
            name = f"blocks.layers.{layer}"
            states = states + self._attend(f"{name}.self_attn", self._norm(f"{name}.norm1", states))
            wide = gelu(linear(self.tensors, f"{name}.linear1", self._norm(f"{name}.norm2", states)))
            states = states + linear(self.tensors, f"{name}.linear2", wide)
        return self._norm("norm", states)

    def offset(self, states: np.ndarray) -> np.ndarray:
        """What a user's state adds to all their scores, [n, 1]."""
        return linear(self.tensors, "offset", states)

    def _attend(self, name: str, states: np.ndarray) -> np.ndarray:
        batch, length, dim = states.shape
        both = states @ self.tensors[f"{name}.in_proj_weight"].T + self.tensors[f"{name}.in_proj_bias"]
        asks, keys, values = both.reshape(batch, length, 3, self._heads, dim // self._heads).transpose(2, 0, 3, 1, 4)
        raw = asks @ keys.swapaxes(-1, -2) / np.sqrt(np.float32(dim // self._heads))
        raw = np.where(np.triu(np.ones((length, length), dtype=bool), 1), np.float32(-np.inf), raw)
        read = (softmax(raw, axis=-1) @ values).swapaxes(1, 2).reshape(batch, length, dim)
        return linear(self.tensors, f"{name}.out_proj", read)

    def _norm(self, name: str, states: np.ndarray) -> np.ndarray:
        centred = states - states.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + np.float32(1e-5))
        out: np.ndarray = scaled * self.tensors[f"{name}.weight"] + self.tensors[f"{name}.bias"]
        return out
