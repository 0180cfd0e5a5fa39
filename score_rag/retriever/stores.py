"""Where the newest document of each user is kept for approximate search, and for other programs to read.

Chroma in the index's own folder is the default; a Chroma server by its address, or any LlamaIndex vector store, takes its place by one
line of a pipeline file. A store is a cache: ids are made of index, user and text, the index beside it knows which ids it holds, and what
else a store returns is not used.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import shutil
import sqlite3
import uuid
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import numpy as np

from score_rag.errors import ConfigError, IndexMismatchError, did_you_mean
from score_rag.progress import Report, silent

__all__ = ["ChromaServer", "LocalChroma", "Store", "VectorStore", "aquery", "is_python_name", "open_store", "store_id"]

_CHUNK = 5000
_SPACE: Any = {"hnsw": {"space": "cosine", "batch_size": 50_000, "sync_threshold": 50_000}}
_MARK = {"made_by": "score-rag"}
_NAME = "behaviours"


def store_id(index: str, user_id: str, text: str) -> str:
    """The id, a UUID as some stores want it, of a user's text in an index: two indexes in one store have nothing in common.

    >>> store_id("i", "42", "Liked: Heat.") == store_id("i", "42", "Liked: Heat.") != store_id("j", "42", "Liked: Heat.")
    True
    """
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{index}\0{user_id}\0{text}"))


class Store(Protocol):
    """What the index asks of a store.

    Attributes:
        shared: Others may see it while it is written to.
    """

    shared: bool

    def add(
        self, ids: Sequence[str], vectors: np.ndarray, texts: Sequence[str], facts: Sequence[Mapping[str, Any]], report: Report = silent
    ) -> None:
        """Put documents in; what is there under an id already is the same text and vector."""

    def remove(self, ids: Sequence[str]) -> None:
        """Take documents out; an id that is not there is no error."""

    def count(self) -> int | None:
        """How many documents are in it; None where the store does not tell."""

    def nearest(self, vector: np.ndarray, k: int) -> list[str]:
        """Ids of the `k` nearest, nearest first."""

    async def anearest(self, vector: np.ndarray, k: int) -> list[str]:
        """`nearest`, without blocking the event loop."""

    def close(self) -> None:
        """Let go of files and connections."""


def is_python_name(kind: str) -> bool:
    """Whether a store is named by a Python name: to open it is to run what that names, so a file that was found does not decide it."""
    return kind != "chroma" and not kind.startswith(("http://", "https://"))


def open_store(kind: str, options: Mapping[str, Any], folder: Path, *, index: str) -> Store:
    """A store by its name in a pipeline file.

    Args:
        kind: `chroma`, an address (`http://localhost:8000`) of a Chroma server, or `package.module:Name` of a LlamaIndex vector store,
            or of a function that returns one.
        options: For a server `collection` and `headers`; for a vector store, its keyword arguments. A text `$NAME` is read from the
            environment, so that secrets stay out of files.
        folder: Where `chroma` keeps its files.
        index: The id of the index; a server has a collection for each.

    Raises:
        ConfigError: There is no such thing, or it is not what it should be.
        IndexMismatchError: It cannot be opened.
    """
    given = {name: _secret(value) for name, value in options.items()}
    allowed = () if kind == "chroma" else ("collection", "headers")
    strangers = sorted(set(given) - set(allowed))
    if strangers and not is_python_name(kind):
        raise ConfigError(
            f"the store {kind} has no option {strangers[0]!r}",
            where="retriever.store_options",
            expected=", ".join(allowed) or "none",
            hint=did_you_mean(strangers[0], allowed) if allowed else "--set retriever.store_options={}",
        )
    if kind == "chroma":
        return LocalChroma(folder)
    if not is_python_name(kind):
        return ChromaServer(kind, index=index, **given)
    return VectorStore(_made(kind, given))


def _secret(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _secret(inner) for name, inner in value.items()}
    if isinstance(value, str) and value.startswith("$"):
        if value[1:] not in os.environ:
            raise ConfigError("a variable of the environment is not set", where="retriever.store_options", expected=value)
        return os.environ[value[1:]]
    return value


def _made(kind: str, options: Mapping[str, Any]) -> Any:
    from llama_index.core.vector_stores.types import BasePydanticVectorStore

    where = f"retriever.store: {kind}"
    module, colon, name = kind.partition(":")
    expected = "chroma, an address such as http://localhost:8000, or package.module:Name of a LlamaIndex vector store"
    if not colon:
        raise ConfigError("there is no such store", where=where, expected=expected)
    try:
        make = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        package = module.replace("_", "-").replace(".", "-")
        raise ConfigError(
            "this store cannot be loaded", where=where, expected=expected, found=str(error), hint=f"is it installed? pip install {package}"
        ) from error
    try:
        made = make(**options)
    except (TypeError, ValueError) as error:
        raise ConfigError("this store refuses its options", where=f"{where}, retriever.store_options", found=str(error)) from error
    if not isinstance(made, BasePydanticVectorStore):
        raise ConfigError("this is no LlamaIndex vector store", where=where, expected=expected, found=type(made).__name__)
    if type(made).delete_nodes is BasePydanticVectorStore.delete_nodes:
        raise ConfigError("this store cannot take single nodes out, so it cannot be kept up to date", where=where, found=name)
    return made


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
        IndexMismatchError: There is no server, or the collection is somebody else's.
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
            client = chromadb.HttpClient(**self._place)
            self.collection = client.get_or_create_collection(self._name, embedding_function=None, configuration=_SPACE, metadata=_MARK)
        except (ChromaError, ValueError, HTTPError) as error:
            raise IndexMismatchError(
                "the Chroma server does not answer",
                where=url,
                found=str(error).partition("\n")[0],
                hint="start one: chroma run --path FOLDER; or keep the store beside the index: --set retriever.store=chroma",
            ) from error
        if (self.collection.metadata or {}).get("made_by") != _MARK["made_by"]:
            raise IndexMismatchError(
                f"the collection {self._name!r} of this server is somebody else's; nothing was written to it",
                where=url,
                expected="a collection that score-rag made",
                hint="choose another name: --set retriever.store_options.collection=NAME",
            )

    def close(self) -> None:
        """Nothing to let go of: requests end with their answers."""

    def drop(self) -> None:
        """Take the whole collection away."""
        import chromadb

        with self._answering():
            chromadb.HttpClient(**self._place).delete_collection(self._name)

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


class VectorStore:
    """Any LlamaIndex vector store.

    Args:
        store: A `BasePydanticVectorStore` that can take nodes out by id.
    """

    shared = True

    def __init__(self, store: Any) -> None:
        self.store = store

    def add(
        self, ids: Sequence[str], vectors: np.ndarray, texts: Sequence[str], facts: Sequence[Mapping[str, Any]], report: Report = silent
    ) -> None:
        from llama_index.core.schema import TextNode

        for start in range(0, len(ids), _CHUNK):
            nodes = []
            for place in range(start, min(start + _CHUNK, len(ids))):
                own = dict(facts[place])
                nodes.append(
                    TextNode(
                        id_=ids[place],
                        text=texts[place],
                        metadata=own,
                        embedding=vectors[place].tolist(),
                        excluded_embed_metadata_keys=list(own),
                        excluded_llm_metadata_keys=list(own),
                    )
                )
            self.store.add(nodes)
            report("writing the store", min(start + _CHUNK, len(ids)), len(ids))

    def remove(self, ids: Sequence[str]) -> None:
        if ids:
            self.store.delete_nodes(node_ids=list(ids))

    def count(self) -> int | None:
        return None

    def close(self) -> None:
        """It is whoever made it who closes it."""

    def nearest(self, vector: np.ndarray, k: int) -> list[str]:
        return list(self.store.query(_query(vector, k)).ids or [])

    async def anearest(self, vector: np.ndarray, k: int) -> list[str]:
        return list((await aquery(self.store, _query(vector, k))).ids or [])


def _query(vector: np.ndarray, k: int) -> Any:
    from llama_index.core.vector_stores.types import VectorStoreQuery

    return VectorStoreQuery(query_embedding=vector.tolist(), similarity_top_k=k)


async def aquery(store: Any, query: Any, **more: Any) -> Any:
    """A vector store's own `aquery`; a thread where it has none of its own, or no async client to do it with."""
    from llama_index.core.vector_stores.types import BasePydanticVectorStore

    inherited = type(store).aquery is BasePydanticVectorStore.aquery
    if inherited or getattr(store, "_aclient", store) is None:
        return await asyncio.to_thread(store.query, query, **more)
    return await store.aquery(query, **more)
