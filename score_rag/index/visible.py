"""Documents and their vectors in memory, each visible from a moment to the next: exact answers to who is near, now or then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from score_rag.documents.versions import DOCUMENT_COLUMNS, FOREVER
from score_rag.index.exact import best_places, search_at
from score_rag.index.moments import Moments

__all__ = ["Hit", "VisibleDocuments", "documents_of"]


@dataclass(frozen=True)
class Hit:
    """A retrieved document: whose, what it says, how near (cosine), the time of its last event, how many events it tells."""

    user_id: str
    document_id: str
    text: str
    score: float
    known_until: int
    events: int


def documents_of(texts: Mapping[str, str]) -> pl.DataFrame:
    """Documents for people known by a text each: no events, no times; visible now and at any moment after 0.

    Args:
        texts: User ids with what is told of each.
    """
    rows = [(f"{user}@0", str(user), text, 0, -1, FOREVER) for user, text in texts.items()]
    return pl.DataFrame(rows, schema=DOCUMENT_COLUMNS, orient="row")


class VisibleDocuments:
    """Documents, and which of them are visible at a moment.

    Args:
        documents: Frame with `DOCUMENT_COLUMNS`, in the order of time.
        vectors: float32 [documents, dim], unit length.

    Attributes:
        newest: int [users], places of each user's newest document.
    """

    def __init__(self, documents: pl.DataFrame, vectors: np.ndarray) -> None:
        self.documents = documents
        self.vectors = vectors
        self._until = documents["known_until"].to_numpy()
        self._superseded = documents["superseded_at"].to_numpy()
        self.newest = np.flatnonzero(self._superseded == FOREVER)

    def vector_of(self, user_id: str, as_of: int | None = None) -> np.ndarray | None:
        """The vector of the user's document that is visible at `as_of`; None where there is none."""
        place = self.visible_place(user_id, as_of)
        return None if place is None else np.asarray(self.vectors[place])

    def visible_place(self, user_id: str, as_of: int | None = None) -> int | None:
        """Place of the user's document that is visible at `as_of`; None where there is none."""
        time = FOREVER if as_of is None else as_of
        return next((place for place in self._rows_of.get(user_id, ()) if self._until[place] < time <= self._superseded[place]), None)

    def visible_places(self, as_of: int | None = None) -> np.ndarray:
        """int [users], places of all documents that are visible at `as_of`."""
        return self.newest if as_of is None else np.flatnonzero((self._until < as_of) & (as_of <= self._superseded))

    def hit_at(self, place: int, score: float) -> Hit:
        """The document at a place, as what was found with a score."""
        columns = self._columns
        user, document, text, events = (columns[name][place] for name in ("user_id", "document_id", "text", "events"))
        return Hit(user, document, text, float(score), int(self._until[place]), events)

    def exactly(self, vector: np.ndarray, k: int, as_of: int | None, exclude_user: str | None) -> list[Hit]:
        """`query`, never by the store."""
        if as_of is None:
            places = self.newest[best_places(self._newest_vectors @ vector, k + 1)]
        else:
            places = search_at(vector, self.vectors, self._until, self._superseded, k + 1, as_of)
        return self._hits(vector, places, k, exclude_user)

    def _visible(self, as_of: int | None) -> int:
        """How many documents are visible."""
        return len(self.newest) if as_of is None else self._moments.count(as_of)

    def _hits(self, vector: np.ndarray, places: np.ndarray, k: int, exclude_user: str | None) -> list[Hit]:
        columns = self._columns
        scores = np.asarray(self.vectors[places]) @ vector
        hits = [
            Hit(columns["user_id"][place], columns["document_id"][place], columns["text"][place], float(score), until, events)
            for place, score, until, events in zip(
                places.tolist(), scores, self._until[places].tolist(), columns["events"].gather(places).to_list(), strict=True
            )
            if columns["user_id"][place] != exclude_user
        ]
        return sorted(hits, key=lambda hit: (-hit.score, hit.document_id))[:k]

    @cached_property
    def _columns(self) -> dict[str, pl.Series]:
        return {name: self.documents[name] for name in ("user_id", "document_id", "text", "events")}

    @cached_property
    def _newest_vectors(self) -> np.ndarray:
        every = len(self.newest) == len(self.documents)
        vectors: np.ndarray = np.asarray(self.vectors if every else self.vectors[self.newest])
        return vectors

    @cached_property
    def _rows_of(self) -> dict[str, list[int]]:
        rows: dict[str, list[int]] = {}
        for place, user in enumerate(self.documents["user_id"]):
            rows.setdefault(user, []).append(place)
        return rows

    @cached_property
    def _moments(self) -> Moments:
        return Moments(self._until, self._superseded)
