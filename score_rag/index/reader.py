"""The index of behaviour documents, for reading: any number of readers, each of a whole generation (`write` makes them).

Whoever reads keeps the generation that it opened, until `current` opens the next; the one before stays until there is another. All of it
can be made again from documents and encoder: what is broken, half-written, of another form or of another encoder is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from score_rag.documents.versions import FOREVER
from score_rag.errors import IndexMismatchError
from score_rag.index.exact import search_many
from score_rag.index.generation import read_generation, stamp_of, store_ids
from score_rag.index.visible import Hit, VisibleDocuments, documents_of

if TYPE_CHECKING:
    from score_rag.encoders.encoder import Encoder
    from score_rag.index.ann import AnnIndex
    from score_rag.index.stores import Store

__all__ = ["BehaviourIndex", "Hit", "documents_of"]

_EXACT_BELOW = 20_000
"""Up to so many users exact search is no slower than the store's, and needs none of its packages."""
_SHORT = 4_000_000
"""So many multiplications take about a millisecond."""


class BehaviourIndex(VisibleDocuments):
    """Documents and their vectors, as of one generation. `open` what `build_index` or `update_index` wrote.

    Attributes:
        generation: Which one this is; 0 in memory.
        exact_below: Up to so many users, questions about now are answered exactly too.
    """

    def __init__(
        self, documents: pl.DataFrame, vectors: np.ndarray, *, folder: Path | None = None, settings: Mapping[str, Any] | None = None
    ) -> None:
        if folder is None:
            # In memory, in whatever order it came.
            order = documents.with_row_index("place").sort("known_until", "document_id")["place"].to_numpy()
            documents, vectors = documents[order], np.asarray(vectors)[order]
        super().__init__(documents, vectors)
        self.folder = folder
        self.settings = dict(settings or {})
        self.generation = int(self.settings.get("generation", 0))
        self.exact_below = _EXACT_BELOW
        self._stamp = stamp_of(folder) if folder is not None else None
        self._encoder: Encoder | None = None
        self._prepared = False
        self._given: dict[str, Any] = {"store": None, "store_options": None}

    def __reduce__(self) -> Any:
        # What lies in a folder is opened again, whatever generation is there then; what is in memory alone is copied.
        if self.folder is None or self._encoder is None:
            return super().__reduce__()
        return _opened_again, (self.folder.absolute(), self._encoder, self._given, self.exact_below)

    def __repr__(self) -> str:
        where = "in memory" if self.folder is None else f"{str(self.folder)!r}, generation {self.generation}"
        return f"BehaviourIndex({where}, {len(self.newest):,} users, {len(self.documents):,} documents)"

    @classmethod
    def open(
        cls, folder: Path | str, encoder: Encoder, *, store: str | None = None, store_options: Mapping[str, Any] | None = None
    ) -> BehaviourIndex:
        """Open an index for reading.

        Args:
            folder: The index's own.
            encoder: The one that built it.
            store: The Python name of the store that it was built with. A name that only the index's own files give is not followed:
                without it, such a store is left alone, and all questions are answered exactly.
            store_options: The store's, where they are others than when it was built.

        Raises:
            IndexMismatchError: Another encoder or another version built it, or it is not whole.
        """
        folder = Path(folder)
        while True:
            stamp = stamp_of(folder)
            try:
                opened = cls._open(folder, encoder)
                opened._given = {"store": store, "store_options": store_options}
                return opened
            except IndexMismatchError:
                # A writer that is two generations ahead has taken away what was about to be read: there is a newer one.
                if stamp_of(folder) == stamp:
                    raise

    @classmethod
    def _open(cls, folder: Path, encoder: Encoder) -> BehaviourIndex:
        found = read_generation(folder, encoder)
        opened = cls(found.documents, found.vectors, folder=folder, settings=found.settings)
        opened._stamp = found.stamp
        opened._encoder = encoder
        return opened

    def current(self) -> BehaviourIndex:
        """This index, or the generation that has taken its place since it was opened."""
        if self.folder is None or self._encoder is None or not self.stale:
            return self
        return _opened_again(self.folder, self._encoder, self._given, self.exact_below)

    @cached_property
    def store(self) -> Store | None:
        """The approximate store.

        None where there is none to ask: in memory, of a generation that is gone, in a folder that must not be written to, or where it goes
        by a Python name that `open` was not given.
        """
        from score_rag.index.beside import open_store_beside

        if self.folder is None or self.settings["store"] in ("ann", "exact"):
            return None
        return open_store_beside(self.folder, self.settings, self._given, users=len(self.newest), gone=lambda: self.stale)

    @cached_property
    def ann(self) -> AnnIndex | None:
        """Lists for approximate search at any moment; None where the index was built without, or this generation is gone."""
        from score_rag.index.beside import open_lists_beside

        if self.folder is None or self.settings["store"] != "ann":
            return None
        return open_lists_beside(self.folder, self.settings, self.vectors, self._moments)

    @property
    def stale(self) -> bool:
        """Whether another generation has taken its place since it was opened."""
        return self.folder is not None and stamp_of(self.folder) != self._stamp

    # Asking

    def query(self, vector: np.ndarray, k: int, *, as_of: int | None = None, exclude_user: str | None = None) -> list[Hit]:
        """The `k` nearest visible documents of other users, nearest first.

        Args:
            vector: [dim], unit length.
            as_of: Only what was known strictly before this second, by exact search. None means now: by the store, where there are many.
            exclude_user: Whose documents not to return.
        """
        hits = self._hits(vector, self.stored_places(vector, k + 1, as_of), k, exclude_user)
        return hits if self._enough(hits, k, as_of, exclude_user) else self.exactly(vector, k, as_of, exclude_user)

    def stored_places(self, vector: np.ndarray, k: int, as_of: int | None = None) -> np.ndarray:
        """int64 [at most k]: places of visible documents that approximate search finds; none where exact search answers."""
        with self._unless_gone():
            if self._approximate(as_of):
                if self.ann is not None:
                    return self.ann.nearest(vector, k, as_of)
                if self.store is not None:
                    return self.places_of(self.store.nearest(vector, min(k, len(self.newest))))
        return np.zeros(0, dtype=np.int64)

    async def aquery(self, vector: np.ndarray, k: int, *, as_of: int | None = None, exclude_user: str | None = None) -> list[Hit]:
        """`query`, without blocking the event loop."""
        import asyncio

        if not self._prepared:
            await asyncio.to_thread(self._prepare)
        if self._lists:
            return await asyncio.to_thread(partial(self.query, vector, k, as_of=as_of, exclude_user=exclude_user))
        ids: list[str] = []
        with self._unless_gone():
            if self._approximate(as_of) and self.store is not None:
                ids = await self.store.anearest(vector, min(k + 1, len(self.newest)))
        hits = self._hits(vector, self.places_of(ids), k, exclude_user)
        if self._enough(hits, k, as_of, exclude_user):
            return hits
        # A product of matrices leaves the interpreter's lock; a small one is over before a thread would have begun.
        if len(self.documents) * self.vectors.shape[1] <= _SHORT:
            return self.exactly(vector, k, as_of, exclude_user)
        return await asyncio.to_thread(self.exactly, vector, k, as_of, exclude_user)

    @property
    def _lists(self) -> bool:
        return self.settings.get("store") == "ann"

    def _approximate(self, as_of: int | None) -> bool:
        return (self._lists or as_of is None) and self._visible(as_of) > self.exact_below

    def _prepare(self) -> None:
        """Read and open what the first question would have to wait for."""
        with self._unless_gone():
            if self._approximate(None) and self.ann is None and self.store is not None:
                _ = self._place_of
        if not self._approximate(None):
            _ = self._newest_vectors
        self._prepared = True

    def _enough(self, hits: Sequence[Hit], k: int, as_of: int | None, exclude_user: str | None) -> bool:
        """Whether a store came back with as many as there are to be had; one that lost some on the way does not."""
        return bool(hits) and len(hits) >= min(k, self._visible(as_of) - (exclude_user is not None))

    def search(
        self, vectors: np.ndarray, k: int, *, as_of: Sequence[int | None], exclude: Sequence[str | None], block: int = 256
    ) -> list[list[Hit]]:
        """`query` for many vectors at once, exact but where lists answer at any moment; each with its own time and excluded user.

        Args:
            vectors: [n, dim].
            as_of: [n].
            exclude: [n].
            block: Queries at a time; a block takes about `block` × 1 MB at most.
        """
        if self._lists:
            return self._listed(np.asarray(vectors), k, as_of, exclude)
        # Of one user one document is visible at a time: one more than asked for makes up for the user who is left out.
        found = search_many(np.asarray(vectors), self.vectors, self._until, self._superseded, k + 1, as_of, block=block)
        return [self._hits(vector, places, k, user) for vector, places, user in zip(vectors, found, exclude, strict=True)]

    def _listed(self, vectors: np.ndarray, k: int, as_of: Sequence[int | None], exclude: Sequence[str | None]) -> list[list[Hit]]:
        """`search` by lists, the earliest moment first: questions of one moment share its bits."""
        out: list[list[Hit]] = [[]] * len(vectors)
        for row in np.argsort([FOREVER if time is None else time for time in as_of], kind="stable").tolist():
            out[row] = self.query(vectors[row], k, as_of=as_of[row], exclude_user=exclude[row])
        return out

    @contextmanager
    def _unless_gone(self) -> Iterator[None]:
        """A store of a generation that a writer has taken away need not answer: the array is still mapped, and whole."""
        try:
            yield
        except IndexMismatchError:
            if not self.stale:
                raise

    @cached_property
    def _place_of(self) -> dict[str, int]:
        """Places of the newest documents, by their ids in the store."""
        return dict(zip(store_ids(self.documents[self.newest], self.settings["index"]), self.newest.tolist(), strict=True))

    def places_of(self, ids: Sequence[str]) -> np.ndarray:
        """Places of what this generation holds; a store that is shared may know of more."""
        return np.array([self._place_of[name] for name in dict.fromkeys(ids) if name in self._place_of], dtype=np.int64)


def _opened_again(folder: Path, encoder: Encoder, given: Mapping[str, Any], exact_below: int) -> BehaviourIndex:
    opened = BehaviourIndex.open(folder, encoder, **given)
    opened.exact_below = exact_below
    return opened
