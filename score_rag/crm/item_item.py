"""Item-to-item recommenders in closed form: item-kNN (Deshpande and Karypis, 2004) and EASE (Steck, 2019; arXiv 1905.03375)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from score_rag.crm.interface import CollaborativeModel, UserHistory
from score_rag.crm.judgements import Judgements, tokens
from score_rag.crm.settings import CrmTraining, EASESettings, ItemKNNSettings, RecommenderSettings
from score_rag.data.choices import History
from score_rag.data.interactions import Interactions
from score_rag.errors import InputError
from score_rag.progress import Report, silent

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["EASE", "MOST_ITEMS", "ItemKNN"]

MOST_ITEMS = 20_000
"""Items with training events that dense matrices are made for (1.6 GB each; up to five at a time)."""


class _ItemToItem(CollaborativeModel):
    """Scores = the user's row times a matrix of items by items.

    A row has 1 where the user liked, -1 where they disliked (nothing there, where only positives are read). It is also, at unit length, the
    user's vector: neighbours judged alike. Somebody without a history has a row of zeros, which is nobody's neighbour, and scores zero
    throughout, as items without training events do.
    """

    def __init__(self, settings: RecommenderSettings | None = None, *, history: History = "all", **changes: Any) -> None:
        super().__init__(settings, history=history, **changes)
        self._weights = np.zeros((0, 0), dtype=np.float32)
        self._warm = np.zeros(0, dtype=np.int64)

    @abstractmethod
    def _solve(self, rows: csr_matrix) -> np.ndarray:
        """float32 [items, items] from the rows of all training users; zero diagonal."""

    def fit(
        self,
        interactions: Interactions,
        training: CrmTraining | None = None,
        *,
        seed: int = 0,
        checkpoint: Path | None = None,
        report: Report = silent,
    ) -> Self:
        self._know(list(interactions.catalogue))
        self.bind(interactions.log)
        read = Judgements.of(interactions, self._place, self.history).tokens
        self._warm = np.unique(np.abs(np.concatenate([*read, np.zeros(0, dtype=np.int64)]))) - 1
        if len(self._warm) > MOST_ITEMS:
            raise InputError(
                "there are too many items for a dense matrix", expected=f"at most {MOST_ITEMS:,}", found=f"{len(self._warm):,}"
            )
        self._weights = self._solve(self._rows(read)) if len(self._warm) else self._weights
        report("training the recommender (CRM)", 1, 1)
        return self

    def _rows(self, read: Sequence[Sequence[int] | np.ndarray]) -> csr_matrix:
        """float32 [users, warm items]; of several judgements of one item the last counts."""
        from scipy.sparse import csr_matrix

        column = np.full(len(self.item_ids), -1, dtype=np.int64)
        column[self._warm] = np.arange(len(self._warm))
        lengths = np.array([len(row) for row in read], dtype=np.int64)
        signed = np.concatenate([np.zeros(0, dtype=np.int64), *(np.asarray(row, dtype=np.int64) for row in read)])
        places = column[np.abs(signed) - 1]
        cells = np.repeat(np.arange(len(read)), lengths)[places >= 0] * len(self._warm) + places[places >= 0]
        # Read from the end, the first of a cell is its last.
        cells, last = np.unique(cells[::-1], return_index=True)
        signs = np.sign(signed[places >= 0][::-1][last]).astype(np.float32)
        where = np.divmod(cells, max(len(self._warm), 1))
        return csr_matrix((signs, where), shape=(len(read), len(self._warm)))

    def _asked_rows(self, asked: Sequence[UserHistory]) -> csr_matrix:
        return self._rows([tokens(one.history, self._place, self.history) for one in asked])

    def _vectors(self, asked: Sequence[UserHistory]) -> np.ndarray:
        rows = self._asked_rows(asked).toarray()
        out: np.ndarray = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        return out

    def _scores(self, asked: Sequence[UserHistory], places: Sequence[np.ndarray]) -> list[np.ndarray]:
        rows = self._asked_rows(asked)
        out = []
        for start in range(0, len(asked), 512):
            every = np.zeros((min(512, len(asked) - start), len(self.item_ids)), dtype=np.float32)
            every[:, self._warm] = rows[start : start + 512] @ self._weights
            out += [scores[place] for scores, place in zip(every, places[start : start + 512], strict=True)]
        return out

    def _tensors(self) -> Mapping[str, np.ndarray]:
        return {"weights": self._weights, "warm": self._warm}

    def _restore(self, tensors: Mapping[str, np.ndarray], extra: Mapping[str, Any]) -> None:
        self._weights, self._warm = tensors["weights"], tensors["warm"]


class ItemKNN(_ItemToItem):
    """Cosine of items' columns, shrunk, each item keeping its nearest.

    Args:
        settings: See `ItemKNNSettings`.
        history: `all` judgements, or `positives` only.
        changes: Single settings.
    """

    kind: ClassVar[str] = "item-knn"
    name: ClassVar[str] = "item-kNN"

    settings_model: ClassVar[type[ItemKNNSettings]] = ItemKNNSettings
    settings: ItemKNNSettings

    def _solve(self, rows: csr_matrix) -> np.ndarray:
        together = np.asarray((rows.T @ rows).toarray(), dtype=np.float32)
        length = np.sqrt(np.diag(together))
        alike = together / (np.outer(length, length) + np.float32(self.settings.shrink))
        np.fill_diagonal(alike, 0.0)
        few = min(self.settings.nearest, len(alike))
        least = -np.partition(-np.abs(alike), few - 1, axis=0)[few - 1]
        return np.where(np.abs(alike) >= least, alike, np.float32(0.0))


class EASE(_ItemToItem):
    """Ridge regression of each item on all others: B = -P / diag(P) with P = (XᵀX + λI)⁻¹, zero diagonal (equation 8).

    Args:
        settings: See `EASESettings`.
        history: `all` judgements, or `positives` only.
        changes: Single settings.
    """

    kind: ClassVar[str] = "ease"
    name: ClassVar[str] = "EASE"

    settings_model: ClassVar[type[EASESettings]] = EASESettings
    settings: EASESettings

    def _solve(self, rows: csr_matrix) -> np.ndarray:
        from scipy.linalg import cho_factor, cho_solve

        gram = np.asarray((rows.T @ rows).toarray(), dtype=np.float32)
        gram[np.diag_indices_from(gram)] += self.settings.penalty
        inverse = cho_solve(cho_factor(gram, overwrite_a=True, check_finite=False), np.eye(len(gram), dtype=np.float32), overwrite_b=True)
        weights: np.ndarray = -inverse / np.diag(inverse)
        np.fill_diagonal(weights, 0.0)
        return weights
