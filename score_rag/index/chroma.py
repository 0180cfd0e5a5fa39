"""Chroma as the store: in a folder of this disk, or a server."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from score_rag.errors import ChangeSetting, IndexMismatchError
from score_rag.progress import Report, silent

__all__ = ["ChromaServer", "LocalChroma"]

_CHUNK = 5000
_SPACE: Any = {"hnsw": {"space": "cosine", "batch_size": 50_000, "sync_threshold": 50_000}}
_MARK = {"made_by": "score-rag"}
_NAME = "behaviours"


@contextmanager
def _no_panic(what: str, where: Path | str) -> Iterator[None]:
    """A damaged database makes Chroma's Rust part panic, which is no ordinary exception."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise IndexMismatchError(what, where=where, found=str(error).partition("\n")[0]) from error


class _Chroma:
    """What the two kinds of Chroma share."""

    shared: bool
    where: str
    collection: Any

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Whatever it may be that keeps Chroma from answering, in one error of ours."""
        from chromadb.errors import ChromaError
        from httpx import HTTPError

        try:
            with _no_panic("the store does not answer", self.where):
                yield
        except (ChromaError, HTTPError, ValueError) as error:
            raise IndexMismatchError("the store does not answer", where=self.where, found=str(error).partition("\n")[0]) from error

    def add(
        self, ids: Sequence[str], vectors: np.ndarray, texts: Sequence[str], facts: Sequence[Mapping[str, Any]], report: Report = silent
    ) -> None:
        for start in range(0, len(ids), _CHUNK):
            part = slice(start, start + _CHUNK)
            told = [dict(one) for one in facts[part]]
            with self._answering():
                self.collection.upsert(ids=list(ids[part]), embeddings=vectors[part], documents=list(texts[part]), metadatas=told)
            report("writing the store", min(start + _CHUNK, len(ids)), len(ids))

    def remove(self, ids: Sequence[str]) -> None:
        for start in range(0, len(ids), _CHUNK):
            with self._answering():
                self.collection.delete(ids=list(ids[start : start + _CHUNK]))

    def count(self) -> int | None:
        with self._answering():
            return int(self.collection.count())

    def nearest(self, vector: np.ndarray, k: int) -> list[str]:
        with self._answering():
            found = self.collection.query(query_embeddings=vector[None].astype(np.float32), n_results=k, include=[])
        return list(found["ids"][0])


class LocalChroma(_Chroma):
    """Chroma in a folder of this disk: one writer, readers that open it after it was written.

    Args:
        folder: Made where it is missing.
    """

    shared = False

    def __init__(self, folder: Path) -> None:
        import chromadb
        from chromadb.errors import ChromaError

        self.where = str(folder)
        try:
            with _no_panic("the store cannot be opened", folder):
                client: Any = chromadb.PersistentClient(path=str(folder), settings=chromadb.Settings(anonymized_telemetry=False))
                self.collection = client.get_or_create_collection(_NAME, embedding_function=None, configuration=_SPACE, metadata=_MARK)
        except (ChromaError, ValueError, sqlite3.Error, AttributeError) as error:
            # Where a file is no database, Chroma stumbles over its own tidying up; what it stumbled over first is the context.
            first = error.__context__ if isinstance(error, AttributeError) and error.__context__ else error
            raise IndexMismatchError("the store cannot be opened", where=folder, found=str(first).partition("\n")[0]) from error
        # Chroma keeps what it has opened, by path, until it is told; a reader that goes on to the next generation tells it by forgetting.
        self._closing = weakref.finalize(self.collection, client.close)

    def close(self) -> None:
        """Let go of its files."""
        self._closing()

    @staticmethod
    def copied(source: Path, target: Path) -> LocalChroma:
        """A store that begins as another one was; the other is left to its readers."""
        try:
            target.mkdir(parents=True)
            for file in source.iterdir():
                if not file.name.startswith("chroma.sqlite3"):
                    (shutil.copytree if file.is_dir() else shutil.copyfile)(file, target / file.name)
            # The database copies itself, so that nothing of it is caught half-way.
            place = f"{(source / 'chroma.sqlite3').resolve().as_uri()}?mode=ro"
            with closing(sqlite3.connect(place, uri=True)) as old, closing(sqlite3.connect(target / "chroma.sqlite3")) as new:
                old.backup(new)
        except (OSError, sqlite3.Error, shutil.Error) as error:
            raise IndexMismatchError("the store cannot be copied", where=source, found=str(error).partition("\n")[0]) from error
        return LocalChroma(target)

    async def anearest(self, vector: np.ndarray, k: int) -> list[str]:
        # Chroma in this process has no other way; it leaves the interpreter's lock while it searches.
        return await asyncio.to_thread(self.nearest, vector, k)


class ChromaServer(_Chroma):
    """A collection of a Chroma server, which many processes may write to and read.

    Args:
        url: Its address.
        index: The id of the index, whose beginning ends the collection's name: each index has its own.
        collection: How its name begins.
        headers: Sent with each request, such as a token.

    Raises:
        IndexMismatchError: There is no server, or the collection was not created by score-rag.
    """

    shared = True

    def __init__(self, url: str, *, index: str, collection: str = _NAME, headers: dict[str, str] | None = None) -> None:
        import chromadb
        from chromadb.errors import ChromaError
        from httpx import HTTPError

        parts = urlsplit(url)
        secure = parts.scheme == "https"
        self.where = url
        self._name = f"{collection}-{index[:8]}"
        self._place: dict[str, Any] = {
            "host": parts.hostname or "localhost",
            "port": parts.port or (443 if secure else 80),
            "ssl": secure,
            "headers": headers,
            "settings": chromadb.Settings(anonymized_telemetry=False),
        }
        self._async: tuple[Any, Any] | None = None
        try:
            client: Any = chromadb.HttpClient(**self._place)
            self.collection = client.get_or_create_collection(self._name, embedding_function=None, configuration=_SPACE, metadata=_MARK)
        except (ChromaError, ValueError, HTTPError) as error:
            raise IndexMismatchError(
                "the Chroma server does not answer",
                where=url,
                found=str(error).partition("\n")[0],
                hint="start one: chroma run --path FOLDER; or keep the store beside the index",
                remedy=ChangeSetting({"retriever.store": "chroma"}),
            ) from error
        self._client = client
        self._closing = weakref.finalize(self.collection, client.close)
        if (self.collection.metadata or {}).get("made_by") != _MARK["made_by"]:
            raise IndexMismatchError(
                f"the collection {self._name!r} of this server was not created by score-rag; nothing was written to it",
                where=url,
                expected="a collection that score-rag made",
                hint="choose another name",
                remedy=ChangeSetting({"retriever.store_options.collection": "NAME"}),
            )

    def close(self) -> None:
        """Let go of its connections."""
        self._closing()

    def drop(self) -> None:
        """Take the whole collection away."""
        with self._answering():
            self._client.delete_collection(self._name)
        self.close()

    async def anearest(self, vector: np.ndarray, k: int) -> list[str]:
        import chromadb

        loop = asyncio.get_running_loop()
        with self._answering():
            if self._async is None or self._async[0] is not loop:
                # Connections belong to the loop that opened them.
                client = await chromadb.AsyncHttpClient(**self._place)
                self._async = loop, await client.get_collection(self._name, embedding_function=None)
            found = await self._async[1].query(query_embeddings=vector[None].astype(np.float32), n_results=k, include=[])
        return list(found["ids"][0])
