"""Where the newest document of each user is kept for approximate search, and for other programs to read.

Chroma in the index's own folder is the default; a Chroma server by its address, or any LlamaIndex vector store, takes its place by one
line of a pipeline file. A store is a cache: ids are made of index, user and text, the index beside it knows which ids it holds, and what
else a store returns is not used.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from score_rag.errors import ChangeSetting, ConfigError, did_you_mean
from score_rag.progress import Report, silent

__all__ = ["Store", "VectorStore", "aquery", "is_beside", "is_python_name", "open_store", "store_id"]

_CHUNK = 5000


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
    return not is_beside(kind) and not kind.startswith(("http://", "https://"))


def is_beside(kind: str) -> bool:
    """Whether a store is of files beside the index."""
    return kind in ("chroma", "ann", "exact")


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
    from score_rag.index.chroma import ChromaServer, LocalChroma

    given = {name: _secret(value) for name, value in options.items()}
    allowed = () if kind == "chroma" else ("collection", "headers")
    strangers = sorted(set(given) - set(allowed))
    if strangers and not is_python_name(kind):
        raise ConfigError(
            f"the store {kind} has no option {strangers[0]!r}",
            where="retriever.store_options",
            expected=", ".join(allowed) or "none",
            hint=did_you_mean(strangers[0], allowed) if allowed else None,
            remedy=None if allowed else ChangeSetting({"retriever.store_options": {}}),
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
    expected = "chroma, ann, exact, an address such as http://localhost:8000, or package.module:Name of a LlamaIndex vector store"
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
