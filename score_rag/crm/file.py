"""Vectors brought from another library: they take the place of a recommender that we would have trained."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from score_rag.crm.interface import UserHistory, VectorModel
from score_rag.crm.settings import CrmTraining, FileSettings
from score_rag.data.choices import History
from score_rag.data.interactions import Interactions
from score_rag.errors import ChangeSetting, DataError, did_you_mean
from score_rag.files import at_home
from score_rag.progress import Report, silent

__all__ = ["FileVectors", "read_vector_file", "vector_files"]


class FileVectors(VectorModel):
    """Users' and items' vectors out of files; the score is their inner product.

    What the vectors know is what their maker let them know: an `as_of` cannot narrow a vector that is there. A user without one has the
    mean of the vectors of what they liked, strictly before the question; without that, zeros, which is nobody's neighbour. An item without
    a vector has zeros and scores 0.

    Args:
        settings: The two files; see `read_vector_file`.
        history: Kept for the common shape; liked items alone are averaged.
        changes: Single settings.
    """

    kind: ClassVar[str] = "file"
    name: ClassVar[str] = "vectors from a file"

    settings_model: ClassVar[type[FileSettings]] = FileSettings
    settings: FileSettings

    def __init__(self, settings: FileSettings | None = None, *, history: History = "all", **changes: Any) -> None:
        super().__init__(settings, history=history, **changes)
        self._items = np.zeros((0, 0), dtype=np.float32)
        self._users = np.zeros((0, 0), dtype=np.float32)
        self._number: dict[str, int] = {}

    def fit(
        self,
        interactions: Interactions,
        training: CrmTraining | None = None,
        *,
        seed: int = 0,
        checkpoint: Path | None = None,
        report: Report = silent,
    ) -> Self:
        """Take the vectors that the data has use for; `metrics` counts what was missing and what was unknown.

        Raises:
            DataError: A file is malformed, the widths differ, or no id is known.
        """
        self._know(list(interactions.catalogue))
        self.bind(interactions.log)
        known = interactions.log.users
        users, items = self.settings.user_vectors, self.settings.item_vectors
        user_ids, user_vectors = read_vector_file(users)
        item_ids, item_vectors = read_vector_file(items)
        if user_vectors.shape[1] != item_vectors.shape[1]:
            raise DataError(
                "user and item vectors differ in width",
                where=f"{users}, {items}",
                expected=user_vectors.shape[1],
                found=item_vectors.shape[1],
            )
        self._items, missing_items, unknown_items = _placed(item_ids, item_vectors, self.item_ids, items)
        self._users, missing_users, unknown_users = _placed(user_ids, user_vectors, known, users)
        there = set(user_ids)
        self._number = {user: place for place, user in enumerate(known) if user in there}
        self.metrics = {
            "dim": int(self._items.shape[1]),
            "users_without_vector": missing_users,
            "items_without_vector": missing_items,
            "unknown_users": unknown_users,
            "unknown_items": unknown_items,
        }
        report("reading vectors", 1, 1)
        return self

    def item_vectors(self) -> np.ndarray:
        return self._items

    def _vectors(self, asked: Sequence[UserHistory]) -> np.ndarray:
        out = np.zeros((len(asked), self._items.shape[1]), dtype=np.float32)
        for row, one in enumerate(asked):
            if one.user_id in self._number:
                out[row] = self._users[self._number[one.user_id]]
                continue
            liked = [self._place[event.item_id] for event in one.history if event.liked]
            if liked:
                out[row] = self._items[liked].mean(axis=0)
        return out

    @classmethod
    def _restored(cls, **settings: Any) -> Self:
        # Where the files were is not kept: what they held is.
        return cls(user_vectors="", item_vectors="", **settings)

    def _tensors(self) -> Mapping[str, np.ndarray]:
        return {"items": self._items, "users": self._users}

    def _extra(self) -> dict[str, Any]:
        return {"users": self._number}

    def _restore(self, tensors: Mapping[str, np.ndarray], extra: Mapping[str, Any]) -> None:
        self._items, self._users, self._number = tensors["items"], tensors["users"], extra["users"]


def read_vector_file(path: Path | str) -> tuple[list[str], np.ndarray]:
    """Ids and vectors from a file.

    Either Parquet with two columns, an id and a vector (list or array of numbers); or NAME.npy with the ids beside it, in NAME.json (a
    list) or NAME.txt (one a line).

    Returns:
        (ids, float32 [n, dim]).

    Raises:
        DataError: The file is missing or malformed, an id occurs twice, or a number is not finite.
    """
    path, *beside = vector_files(path)
    ids, vectors = _from_npy(path, beside[0]) if beside else _from_parquet(path)
    if vectors.ndim != 2 or len(ids) != len(vectors) or vectors.dtype.kind not in "fiu":
        raise DataError(
            "these are no vectors", where=path, expected=f"{len(ids):,} rows of numbers", found=f"{vectors.dtype} of shape {vectors.shape}"
        )
    vectors = vectors.astype(np.float32)
    strange = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(strange):
        some = ", ".join(ids[place] for place in strange[:5])
        raise DataError(f"{len(strange):,} vectors have numbers that are not finite (NaN or infinity)", where=path, found=f"ids {some}")
    if len(set(ids)) < len(ids):
        twice = sorted({name for name in ids if ids.count(name) > 1})[:5] if len(ids) < 10_000 else []
        raise DataError("an id occurs more than once", where=path, found=", ".join(twice) or f"{len(ids) - len(set(ids)):,} repetitions")
    return ids, vectors


def vector_files(path: Path | str) -> list[Path]:
    """The file of vectors, and the file of ids beside it where there is one (`.npy`).

    Raises:
        DataError: One of them is missing.
    """
    file = at_home(path)
    if not file.is_file():
        raise DataError(
            "there is no file of vectors",
            where=file,
            expected="a .parquet or .npy file",
            remedy=ChangeSetting({"crm.user_vectors": "FILE"}),
        )
    if file.suffix != ".npy":
        return [file]
    beside = [file.with_suffix(ending) for ending in (".json", ".txt") if file.with_suffix(ending).is_file()]
    if not beside:
        raise DataError(
            "there are no ids beside the vectors", where=file, expected=f"{file.stem}.json (a list) or {file.stem}.txt (one a line)"
        )
    return [file, beside[0]]


def _from_npy(path: Path, beside: Path) -> tuple[list[str], np.ndarray]:
    try:
        vectors = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError("a file of vectors is malformed", where=path, expected="a .npy file of numbers", found=error) from error
    if vectors.ndim != 2:
        raise DataError("these are no vectors", where=path, expected="rows of numbers", found=f"an array of shape {vectors.shape}")
    try:
        text = beside.read_text(encoding="utf-8")
        ids = json.loads(text) if beside.suffix == ".json" else text.splitlines()
    except UnicodeDecodeError as error:
        raise DataError("a file of ids is not UTF-8", where=beside, found=error) from error
    except json.JSONDecodeError as error:
        raise DataError("a file of ids is not valid JSON", where=beside, found=error) from error
    if not isinstance(ids, list) or len(ids) != len(vectors):
        found = f"{len(ids):,}" if isinstance(ids, list) else type(ids).__name__
        raise DataError("ids and vectors do not fit together", where=beside, expected=f"a list of {len(vectors):,} ids", found=found)
    return [str(name) for name in ids], vectors


def _from_parquet(path: Path) -> tuple[list[str], np.ndarray]:
    import polars as pl

    try:
        frame = pl.read_parquet(path)
    except pl.exceptions.PolarsError as error:
        raise DataError("a file of vectors is malformed", where=path, expected="a Parquet file", found=error) from error
    nested = [name for name, kind in frame.schema.items() if isinstance(kind, pl.List | pl.Array)]
    if len(frame.columns) != 2 or len(nested) != 1:
        said = ", ".join(f"{name} ({kind})" for name, kind in frame.schema.items())
        raise DataError("a file of vectors has two columns", where=path, expected="an id, and a vector (list or array)", found=said)
    (name,) = (column for column in frame.columns if column not in nested)
    inner = frame.schema[nested[0]].inner  # type: ignore[attr-defined]  # a list's or an array's
    if not inner.is_numeric():
        raise DataError("these are no vectors", where=path, expected="lists of numbers", found=f"lists of {inner}")
    lengths = frame[nested[0]].cast(pl.List(pl.Float64)).list.len().unique().drop_nulls().to_list()
    if len(lengths) != 1 or frame[nested[0]].null_count():
        raise DataError("the vectors differ in width", where=path, expected="one width, no nulls", found=sorted(lengths)[:5])
    vectors = frame[nested[0]].explode().fill_null(float("nan")).to_numpy().reshape(len(frame), -1)
    return frame[name].cast(pl.String).to_list(), vectors


def _placed(ids: list[str], vectors: np.ndarray, wanted: list[str], path: Path | str) -> tuple[np.ndarray, int, int]:
    """Vectors in the order wanted, zeros where missing; how many are missing; how many of the file's ids are unknown."""
    place = {name: number for number, name in enumerate(wanted)}
    found = [(place[name], row) for row, name in enumerate(ids) if name in place]
    if not found:
        raise DataError(
            "none of these ids is in the data", where=path, found=", ".join(ids[:5]), hint=did_you_mean(ids[0], wanted) if ids else None
        )
    table = np.array(found, dtype=np.int64)
    out = np.zeros((len(wanted), vectors.shape[1]), dtype=np.float32)
    out[table[:, 0]] = vectors[table[:, 1]]
    return out, len(wanted) - len(found), len(ids) - len(found)
