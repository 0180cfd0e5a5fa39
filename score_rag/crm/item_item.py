"""Item-to-item recommenders in closed form: item-kNN (Deshpande and Karypis, 2004) and EASE (Steck, 2019; arXiv 1905.03375)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
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
"""Items with training events that EASE solves its dense matrix for (1.6 GB each; up to five at a time)."""
_CELLS = 2**25
"""Cells of a matrix that are made at a time."""
_MOST_NUMBERS = 4_000_000_000
"""Numbers of all users' vectors (16 GB)."""
_TIES = 10
"""Times as many as its nearest an item keeps at most, where many are equally near."""


class _ItemToItem(CollaborativeModel):
    """Scores = the user's row times a matrix of items by items.

    A row has 1 where the user liked, -1 where they disliked (nothing there, where only positives are read). It is also, at unit length, the
    user's vector: neighbours judged alike. Somebody without a history has a row of zeros, which is nobody's neighbour, and scores zero
    throughout, as items without training events do.
    """

    def __init__(self, settings: RecommenderSettings | None = None, *, history: History = "all", **changes: Any) -> None:
        super().__init__(settings, history=history, **changes)
        self._weights: Any = np.zeros((0, 0), dtype=np.float32)
        self._warm = np.zeros(0, dtype=np.int64)

    @abstractmethod
    def _solve(self, rows: csr_matrix, report: Report) -> Any:
        """float32 [items, items], an array or a sparse one, from the rows of all training users; zero diagonal."""

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
        self._weights = self._solve(self._rows(read), report) if len(self._warm) else np.zeros((0, 0), dtype=np.float32)
        report("training the recommender (CRM)", 1, 1)
        return self

    def _rows(self, read: Sequence[Sequence[int] | np.ndarray]) -> csr_matrix:
        """float32 [users, warm items]; of several judgements of one item the last counts."""
        from scipy.sparse import csr_matrix

        column = self._columns()
        lengths = np.array([len(row) for row in read], dtype=np.int64)
        signed = np.concatenate([np.zeros(0, dtype=np.int64), *(np.asarray(row, dtype=np.int64) for row in read)])
        places = column[np.abs(signed) - 1]
        cells = np.repeat(np.arange(len(read)), lengths)[places >= 0] * len(self._warm) + places[places >= 0]
        # Read from the end, the first of a cell is its last.
        cells, last = np.unique(cells[::-1], return_index=True)
        signs = np.sign(signed[places >= 0][::-1][last]).astype(np.float32)
        where = np.divmod(cells, max(len(self._warm), 1))
        return csr_matrix((signs, where), shape=(len(read), len(self._warm)))

    def _columns(self) -> np.ndarray:
        """int64 [items]: each item's column in the matrix; -1 where it has no training events."""
        column = np.full(len(self.item_ids), -1, dtype=np.int64)
        column[self._warm] = np.arange(len(self._warm))
        return column

    def _asked_rows(self, asked: Sequence[UserHistory]) -> csr_matrix:
        return self._rows([tokens(one.history, self._place, self.history) for one in asked])

    def user_vectors(self, user_ids: Sequence[str], *, as_of: int | None = None) -> np.ndarray:
        if len(user_ids) * len(self._warm) > _MOST_NUMBERS:
            raise InputError(
                f"vectors of {self.name} have a number for each item: too many for so many users",
                expected=f"at most {_MOST_NUMBERS:,} numbers",
                found=f"{len(user_ids):,} users × {len(self._warm):,} items",
                hint="crm.model: lightgcn, or another that has small vectors",
            )
        return super().user_vectors(user_ids, as_of=as_of)

    def _vectors(self, asked: Sequence[UserHistory]) -> np.ndarray:
        rows = self._asked_rows(asked).toarray()
        out: np.ndarray = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        return out

    def _scores(self, asked: Sequence[UserHistory], places: Sequence[np.ndarray]) -> list[np.ndarray]:
        rows = self._asked_rows(asked)
        out = []
        block = max(1, min(512, _CELLS // max(len(self.item_ids), 1)))
        for start in range(0, len(asked), block):
            every = np.zeros((min(block, len(asked) - start), len(self.item_ids)), dtype=np.float32)
            said = rows[start : start + block] @ self._weights
            every[:, self._warm] = said if isinstance(said, np.ndarray) else said.toarray()
            out += [scores[place] for scores, place in zip(every, places[start : start + block], strict=True)]
        return out

    def _tensors(self) -> Mapping[str, np.ndarray]:
        return {"weights": self._weights, "warm": self._warm}

    def _restore(self, tensors: Mapping[str, np.ndarray], extra: Mapping[str, Any]) -> None:
        self._weights, self._warm = tensors["weights"], tensors["warm"]


class ItemKNN(_ItemToItem):
    """Cosine of items' columns, shrunk, each item keeping its nearest: a sparse matrix, made by blocks of items.

    Args:
        settings: See `ItemKNNSettings`.
        history: `all` judgements, or `positives` only.
        changes: Single settings.
    """

    kind: ClassVar[str] = "item-knn"
    name: ClassVar[str] = "item-kNN"

    settings_model: ClassVar[type[ItemKNNSettings]] = ItemKNNSettings
    settings: ItemKNNSettings
    _listening: tuple[Any, Any] = (None, None)

    def _solve(self, rows: csr_matrix, report: Report) -> csr_matrix:
        from scipy.sparse import vstack

        columns = rows.T.tocsr()
        length = np.sqrt(np.diff(columns.indptr).astype(np.float32))
        near = []
        for start, together in self._together(columns, rows):
            item = np.repeat(np.arange(start, start + together.shape[0]), np.diff(together.indptr))
            alike = together.data / (length[item] * length[together.indices] + np.float32(self.settings.shrink))
            # What cancels out is nothing, and no item is near itself.
            alike[item == together.indices] = 0.0
            together.data = self._nearest(alike, together.indices, together.indptr)
            together.eliminate_zeros()
            near.append(together)
            report("comparing items", start + together.shape[0], len(length))
        # Whom an item listens to is its column.
        weights: csr_matrix = vstack(near).T.tocsr()
        weights.sort_indices()
        return weights

    def _together(self, columns: csr_matrix, rows: csr_matrix) -> Iterator[tuple[int, csr_matrix]]:
        """(first item, float32 [items of a block, items]: in how many users' rows two items agree, less where they differ)."""
        block = max(1, _CELLS // columns.shape[0])
        for start in range(0, columns.shape[0], block):
            yield start, columns[start : start + block] @ rows

    def _nearest(self, alike: np.ndarray, others: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """The likenesses, zero where an item has enough that are nearer; `others` and `ends` as of a sparse matrix's rows."""
        few = self.settings.nearest
        for row in np.flatnonzero(np.diff(ends) > few).tolist():
            own = alike[ends[row] : ends[row + 1]]
            far = np.abs(own)
            least = np.partition(far, len(far) - few)[len(far) - few]
            own[far < least] = 0.0
            ties = np.flatnonzero(far == least)
            if len(ties) > (_TIES - 1) * few:
                # Items that one user alone judged are all equally near each other: of very many the first are kept.
                first = np.argsort(others[ends[row] : ends[row + 1]][ties], kind="stable")
                own[ties[first[_TIES * few - int((far > least).sum()) :]]] = 0.0
        return alike

    def _scores(self, asked: Sequence[UserHistory], places: Sequence[np.ndarray]) -> list[np.ndarray]:
        lengths = np.array([len(place) for place in places], dtype=np.int64)
        if not len(self._warm) or (lengths > 1).any():
            return super()._scores(asked, places)
        # One item each, or none: only whom it listens to is looked at.
        columns = np.full(len(asked), -1, dtype=np.int64)
        columns[lengths == 1] = self._columns()[np.concatenate([*places, np.zeros(0, dtype=np.int64)])]
        # Added up in the order in which a whole row of scores is, to the same bits.
        said = self._asked_rows(asked).multiply(self._whom()[columns]).tocsr() @ np.ones(len(self._warm), dtype=np.float32)
        said[columns < 0] = 0.0
        return [said[row : row + 1][: lengths[row]] for row in range(len(asked))]

    def _whom(self) -> csr_matrix:
        """float32 [items, items]: a row is whom an item listens to; kept beside the weights that it was made of."""
        made_of, rows = self._listening
        if made_of is not self._weights:
            rows = self._weights.T.tocsr()
            self._listening = (self._weights, rows)
        return rows

    def _tensors(self) -> Mapping[str, np.ndarray]:
        from scipy.sparse import csr_matrix

        weights = csr_matrix(self._weights)
        return {"data": weights.data, "indices": weights.indices, "indptr": weights.indptr, "warm": self._warm}

    def _restore(self, tensors: Mapping[str, np.ndarray], extra: Mapping[str, Any]) -> None:
        from scipy.sparse import csr_matrix

        self._warm = tensors["warm"]
        if "weights" in tensors:  # As earlier versions wrote it.
            self._weights = csr_matrix(tensors["weights"])
        else:
            whole = (len(self._warm), len(self._warm))
            self._weights = csr_matrix((tensors["data"], tensors["indices"], tensors["indptr"]), shape=whole)


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

    def _solve(self, rows: csr_matrix, report: Report) -> np.ndarray:
        from scipy.linalg import cho_factor, cho_solve

        if rows.shape[1] > MOST_ITEMS:
            raise InputError(
                "EASE solves a dense matrix: there are too many items", expected=f"at most {MOST_ITEMS:,}", found=f"{rows.shape[1]:,}"
            )
        gram = np.asarray((rows.T @ rows).toarray(), dtype=np.float32)
        gram[np.diag_indices_from(gram)] += self.settings.penalty
        inverse = cho_solve(cho_factor(gram, overwrite_a=True, check_finite=False), np.eye(len(gram), dtype=np.float32), overwrite_b=True)
        weights: np.ndarray = -inverse / np.diag(inverse)
        np.fill_diagonal(weights, 0.0)
        return weights
