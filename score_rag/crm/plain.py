"""Trained networks in numpy: what their weights say, without torch.

A finished run is asked in fresh processes and where no training package is installed. The recommenders' networks are small, so the same
sums in numpy are all it takes; `tests/test_crm_plain.py` holds both forms to the same numbers. A part has the name and the call that it
has in torch, so that a recommender asks either in the same words (`LearnedModel._say`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from score_rag.crm.rates import COUNTS, USER_COUNTS

__all__ = ["PlainItems", "PlainNetwork", "PlainRates", "Table", "gelu", "linear", "softmax", "spread"]


class Table:
    """Rows of numbers, as an embedding of torch has them under `weight`.

    Args:
        weight: float32 [rows, dim].
    """

    def __init__(self, weight: np.ndarray) -> None:
        self.weight = weight

    def __call__(self, places: np.ndarray) -> np.ndarray:
        rows: np.ndarray = self.weight[places]
        return rows


class PlainItems:
    """Items' vectors: own + told(content), as `content.item_table`.

    Args:
        tensors: A network's weights by name.

    Attributes:
        content: float32 [items + 1, features].
    """

    def __init__(self, tensors: Mapping[str, np.ndarray]) -> None:
        self.content = tensors["items.content"]
        told = tensors.get("items.told.weight")
        own = tensors["items.own.weight"]
        self._vectors = own if told is None else own + self.content @ told.T

    def __call__(self) -> np.ndarray:
        return self._vectors


class PlainRates:
    """Like-rates as logits, as `rates.like_rates`.

    Args:
        tensors: A network's weights by name.

    Attributes:
        middle: The mean's logit, learned.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray]) -> None:
        self._counts = tensors["rates.counts"]
        self._weights = tensors["rates.weights"]
        self.middle = tensors["rates.middle"]
        liked, judged = self._counts.sum(axis=0)
        mean = np.clip((liked + 1) / (judged + 2), np.float32(1e-3), np.float32(1 - 1e-3))
        liked, judged = self._counts.T
        odds = (liked + np.float32(COUNTS) * mean) / (judged - liked + np.float32(COUNTS) * (1 - mean))
        self._items = (np.log(odds) - np.log(mean / (1 - mean))).astype(np.float32)

    def item(self, places: np.ndarray) -> np.ndarray:
        """How far items' rates are from the mean's, as logits."""
        found: np.ndarray = self._items[places]
        return found

    def often(self, places: np.ndarray) -> np.ndarray:
        """How much is known of items, 0 to about 1."""
        known: np.ndarray = np.log1p(self._counts[places, 1]) / np.float32(5)
        return known

    def rate(self, before: np.ndarray) -> np.ndarray:
        """Users' likes above expectation, a judgement, from [n, 3]: liked, judged, expected likes so far."""
        found: np.ndarray = (before[:, 0] - before[:, 2]) / (before[:, 1] + np.float32(USER_COUNTS))
        return found

    def user(self, before: np.ndarray) -> np.ndarray:
        """The same, as it is weighed at first."""
        return np.float32(4) * self.rate(before)

    def __call__(self, places: np.ndarray, before: np.ndarray) -> np.ndarray:
        """Logits [n]."""
        out: np.ndarray = self.middle + self._weights[0] * self.item(places) + self._weights[1] * self.rate(before)
        return out

    def biases(self) -> np.ndarray:
        """What it adds to each item's score, [items]."""
        out: np.ndarray = self.middle + self._weights[0] * self._items[1:]
        return out

    def offsets(self, before: np.ndarray) -> np.ndarray:
        """What it adds to all scores of a user, [n]."""
        out: np.ndarray = self._weights[1] * self.rate(before)
        return out


class PlainNetwork:
    """What the networks share: items' vectors, their biases, like-rates where there are any.

    Args:
        tensors: The weights by name, as `LearnedModel` writes them.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray]) -> None:
        self.tensors = dict(tensors)
        self.items = PlainItems(tensors)
        self.bias = Table(tensors["bias.weight"])
        self.rates = PlainRates(tensors) if "rates.counts" in tensors else None
        nobody = np.zeros((0, 0), dtype=np.float32)
        self.users = Table(tensors.get("users.weight", nobody))
        self.user_bias = Table(tensors.get("user_bias.weight", nobody))


def linear(tensors: Mapping[str, np.ndarray], name: str, given: np.ndarray) -> np.ndarray:
    """A linear layer by its name, with its bias where it has one."""
    out: np.ndarray = given @ tensors[f"{name}.weight"].T
    bias = tensors.get(f"{name}.bias")
    return out if bias is None else out + bias


def gelu(given: np.ndarray) -> np.ndarray:
    """x times the share of a standard normal below x (exact, as torch's).

    >>> gelu(np.array([0.0, 10.0])).tolist()
    [0.0, 10.0]
    """
    from scipy.special import erf

    out: np.ndarray = given * (0.5 * (1 + erf(given / np.sqrt(given.dtype.type(2)))))
    return out


def softmax(given: np.ndarray, *, axis: int) -> np.ndarray:
    """Shares that sum to 1 along an axis; minus infinity has none.

    >>> softmax(np.array([0.0, 0.0, -np.inf]), axis=0).tolist()
    [0.5, 0.5, 0.0]
    """
    raised = np.exp(given - given.max(axis=axis, keepdims=True))
    out: np.ndarray = raised / raised.sum(axis=axis, keepdims=True)
    return out


def spread(nodes: np.ndarray, edges: np.ndarray, layers: int) -> np.ndarray:
    """`graph.propagate` over edges int [2, edges] with their weights of equation 3.

    Args:
        nodes: float32 [nodes, dim].
    """
    from scipy.sparse import csr_matrix

    degree = np.bincount(edges.ravel(), minlength=len(nodes)).astype(np.float32)
    weights = 1 / np.sqrt(degree[edges[0]] * degree[edges[1]])
    ends = np.concatenate([edges, edges[::-1]], axis=1)
    graph = csr_matrix((np.concatenate([weights, weights]), (ends[0], ends[1])), shape=(len(nodes), len(nodes)))
    total = stepped = nodes
    for _ in range(layers):
        stepped = graph @ stepped
        total = total + stepped
    out: np.ndarray = total / np.float32(layers + 1)
    return out
