"""The store of behaviour documents: a persistent Chroma collection, and the same vectors in one array for exact search in bulk.

Chroma answers single questions and is what other LlamaIndex parts can read. The array answers thousands of questions, each with its own
"now", exactly and without the store. Both see a document at `as_of` iff `known_until < as_of <= superseded_at`; tests hold them
to the same answers.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from score_rag.documents import FOREVER
from score_rag.errors import DataError, IndexMismatchError
from score_rag.files import digest_json, read_json, write_json
from score_rag.progress import Report, silent
from score_rag.retriever.encoder import TextEncoder

__all__ = ["BehaviourIndex", "Hit"]

_CHUNK = 5000
_FORMAT = 1


@dataclass(frozen=True)
class Hit:
    """A retrieved document: whose, what it says, how near (cosine), the time of its last event, how many events it tells."""

    user_id: str
    document_id: str
    text: str
    score: float
    known_until: int
    events: int


class BehaviourIndex:
    """Documents and their vectors. Make one with `build`, or `open` what was built.

    Attributes:
        documents: Frame with `DOCUMENT_COLUMNS`.
        vectors: float32 [documents, dim], unit length.
    """

    def __init__(self, folder: Path, documents: pl.DataFrame, vectors: np.ndarray, collection: str) -> None:
        self.folder = folder
        self.documents = documents
        self.vectors = vectors
        self._name = collection
        self._users = documents["user_id"].to_numpy()
        self._until = documents["known_until"].to_numpy()
        self._superseded = documents["superseded_at"].to_numpy()

    @classmethod
    def build(
        cls, documents: pl.DataFrame, encoder: TextEncoder, folder: Path, *, collection: str = "behaviours", report: Report = silent
    ) -> BehaviourIndex:
        """Embed documents and write the index into an empty or missing folder.

        Raises:
            DataError: There are no documents.
        """
        if not len(documents):
            raise DataError("there are no documents to index", hint="run the documents stage: score-rag run PIPELINE --until documents")
        folder.mkdir(parents=True, exist_ok=True)
        vectors = encoder.encode(documents["text"].to_list(), report=report)
        np.save(folder / "vectors.npy", vectors)
        documents.write_parquet(folder / "documents.parquet")
        client = _client(folder)
        store = client.create_collection(
            collection,
            embedding_function=None,
            configuration={"hnsw": {"space": "cosine", "batch_size": 50_000, "sync_threshold": 50_000}},
            metadata={"encoder": encoder.fingerprint},
        )
        columns = documents.select("document_id", "text", "user_id", "events", "known_until", "superseded_at").to_dict(as_series=False)
        for start in range(0, len(documents), _CHUNK):
            part = slice(start, start + _CHUNK)
            facts = zip(*(columns[name][part] for name in ("user_id", "events", "known_until", "superseded_at")), strict=True)
            store.upsert(
                ids=columns["document_id"][part],
                embeddings=vectors[part],
                documents=columns["text"][part],
                metadatas=[{"user_id": u, "events": e, "known_until": k, "superseded_at": s} for u, e, k, s in facts],
            )
            report("writing the store", min(start + _CHUNK, len(documents)), len(documents))
        settings = {
            "format": _FORMAT,
            "collection": collection,
            "encoder": encoder.fingerprint,
            "dimension": encoder.dimension,
            "documents": len(documents),
            "content": digest_json([columns["document_id"], columns["text"]]),
        }
        write_json(folder / "index.json", settings)
        return cls(folder, documents, vectors, collection)

    @classmethod
    def open(cls, folder: Path | str, encoder: TextEncoder) -> BehaviourIndex:
        """Open an index for reading.

        Raises:
            IndexMismatchError: Another encoder built it, or it is not whole.
        """
        folder = Path(folder)
        again = "build it again: score-rag run PIPELINE --only retriever --force"
        if not (folder / "index.json").is_file():
            raise IndexMismatchError("there is no finished index here", where=folder, hint=again)
        settings = read_json(folder / "index.json")
        if settings["encoder"] != encoder.fingerprint:
            raise IndexMismatchError(
                "this index was built by another encoder: its vectors mean something else",
                where=folder,
                expected=f"encoder {encoder.fingerprint}",
                found=f"encoder {settings['encoder']}",
                hint=again,
            )
        try:
            documents = pl.read_parquet(folder / "documents.parquet")
            vectors = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, pl.exceptions.PolarsError) as error:
            raise IndexMismatchError("a file of this index cannot be read", where=folder, found=str(error), hint=again) from error
        if not len(documents) == len(vectors) == settings["documents"] or vectors.shape[1] != encoder.dimension:
            raise IndexMismatchError(
                "this index is not whole",
                where=folder,
                expected=f"{settings['documents']} documents of {encoder.dimension} dimensions",
                found=f"{len(documents)} documents, vectors {vectors.shape}",
                hint=again,
            )
        return cls(folder, documents, vectors, str(settings["collection"]))

    @cached_property
    def _read_only(self) -> bool:
        place = self.folder / "chroma"
        return place.is_dir() and not os.access(place, os.W_OK)

    @cached_property
    def store(self) -> Any:
        """The Chroma collection.

        Raises:
            IndexMismatchError: The store lacks documents or the collection.
        """
        from chromadb.errors import ChromaError

        again = "build it again: score-rag run PIPELINE --only retriever --force"
        try:
            store = _client(self.folder).get_collection(self._name, embedding_function=None)
            count = store.count()
        except (ChromaError, ValueError) as error:
            raise IndexMismatchError(
                f"the store, or its collection {self._name!r}, cannot be opened",
                where=self.folder / "chroma",
                found=str(error).splitlines()[0],
                hint=again,
            ) from error
        if count != len(self.documents):
            raise IndexMismatchError(
                "the store is not whole", where=self.folder / "chroma", expected=len(self.documents), found=count, hint=again
            )
        return store

    def query(self, vector: np.ndarray, k: int, *, as_of: int | None = None, exclude_user: str | None = None) -> list[Hit]:
        """The `k` nearest visible documents of other users, by Chroma; nearest first.

        Chroma writes to its files even to read them: where they must not be written to, the exact search answers instead.
        """
        if self._read_only:
            return self.search(vector[None, :], k, as_of=[as_of], exclude=[exclude_user])[0]
        where: list[dict[str, Any]] = (
            [{"superseded_at": {"$eq": FOREVER}}]
            if as_of is None
            else [{"known_until": {"$lt": as_of}}, {"superseded_at": {"$gte": as_of}}]
        )
        if exclude_user is not None:
            where.append({"user_id": {"$ne": exclude_user}})
        found = self.store.query(
            query_embeddings=[vector.astype(np.float32)],
            n_results=max(1, min(k, len(self.documents))),
            where={"$and": where} if len(where) > 1 else where[0],
            include=["documents", "metadatas", "distances"],
        )
        rows = zip(found["ids"][0], found["documents"][0], found["metadatas"][0], found["distances"][0], strict=True)
        hits = [
            Hit(str(facts["user_id"]), name, text, 1.0 - float(distance), int(facts["known_until"]), int(facts["events"]))
            for name, text, facts, distance in rows
        ]
        return sorted(hits, key=lambda hit: (-hit.score, hit.document_id))[:k]

    def search(
        self, vectors: np.ndarray, k: int, *, as_of: Sequence[int | None], exclude: Sequence[str | None], block: int = 256
    ) -> list[list[Hit]]:
        """`query` for many vectors at once, exact, each with its own time and excluded user.

        Args:
            vectors: [n, dim].
            as_of: [n].
            exclude: [n].
            block: Queries at a time; a block takes about `block` × documents × 5 bytes.
        """
        out: list[list[Hit]] = []
        columns = self.documents.select("user_id", "document_id", "text", "known_until", "events").to_dict(as_series=False)
        for start in range(0, len(vectors), block):
            part = range(start, min(start + block, len(vectors)))
            scores = np.asarray(vectors[part.start : part.stop]) @ np.asarray(self.vectors).T
            # The newest documents are visible now, which is later than any time that an event has.
            times = np.array([FOREVER if as_of[place] is None else as_of[place] for place in part], dtype=np.int64)
            visible = (self._until[None, :] < times[:, None]) & (self._superseded[None, :] >= times[:, None])
            own = self._users[None, :] == np.array([exclude[place] for place in part], dtype=object)[:, None]
            scores[~visible | own] = -np.inf
            for row in scores:
                best = np.argsort(-row, kind="stable")[:k]
                hits = [
                    Hit(
                        columns["user_id"][place],
                        columns["document_id"][place],
                        columns["text"][place],
                        float(row[place]),
                        columns["known_until"][place],
                        columns["events"][place],
                    )
                    for place in best
                    if row[place] > -np.inf
                ]
                out.append(sorted(hits, key=lambda hit: (-hit.score, hit.document_id)))
        return out

    @cached_property
    def _rows_of(self) -> dict[str, list[int]]:
        rows: dict[str, list[int]] = {}
        for place, user in enumerate(self._users):
            rows.setdefault(user, []).append(place)
        return rows

    def vector_of(self, user_id: str, as_of: int | None = None) -> np.ndarray | None:
        """The vector of the user's document that is visible at `as_of`; None where there is none."""
        time = FOREVER if as_of is None else as_of
        for place in self._rows_of.get(user_id, ()):
            if self._until[place] < time <= self._superseded[place]:
                vector: np.ndarray = np.asarray(self.vectors[place])
                return vector
        return None


def _client(folder: Path) -> Any:
    import chromadb

    path = folder / "chroma"
    return chromadb.PersistentClient(path=str(path), settings=chromadb.Settings(anonymized_telemetry=False))
