"""Opening what lies beside a generation's vectors for approximate search: its store, or its lists."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from score_rag.errors import IndexMismatchError
from score_rag.index.ann import FILE, AnnIndex
from score_rag.index.generation import generation_name, rebuild
from score_rag.index.moments import Moments
from score_rag.index.stores import Store, is_python_name, open_store

__all__ = ["open_lists_beside", "open_store_beside"]


def open_store_beside(
    folder: Path, settings: Mapping[str, Any], given: Mapping[str, Any], *, users: int, gone: Callable[[], bool]
) -> Store | None:
    """The store of a generation; None where it must not be asked, or where a writer has taken the generation away.

    Args:
        folder: The index's.
        settings: The generation's.
        given: `store` and `store_options`, as whoever opened the index gave them.
        users: How many the store must hold.
        gone: Whether a writer may have taken the generation's files away.

    Raises:
        IndexMismatchError: It is missing, or not whole.
    """
    kind, local = settings["store"], settings["store"] == "chroma"
    place = folder / generation_name(settings["generation"]) / "chroma"
    # Chroma writes to its files even to read them, and makes what is not there.
    if local and not (place / "chroma.sqlite3").is_file():
        if gone():
            return None
        raise IndexMismatchError("the store is missing", where=place, remedy=rebuild(folder))
    if (local and not os.access(place, os.W_OK)) or (is_python_name(kind) and given["store"] != kind):
        return None
    options = settings["store_options"] if given["store_options"] is None else given["store_options"]
    try:
        store = open_store(kind, options, place, index=settings["index"])
        count = store.count() if local else None
    except IndexMismatchError as error:
        error.remedy = error.remedy or rebuild(folder)
        raise
    if local and count != users:
        raise IndexMismatchError("the store is not whole", where=place, expected=users, found=count, remedy=rebuild(folder))
    return store


def open_lists_beside(folder: Path, settings: Mapping[str, Any], vectors: np.ndarray, moments: Moments) -> AnnIndex:
    """The lists of a generation.

    Raises:
        IndexMismatchError: They are missing, or not what was written.
    """
    try:
        return AnnIndex.open(folder / generation_name(settings["generation"]) / FILE, settings["ann"], vectors, moments)
    except IndexMismatchError as error:
        error.remedy = error.remedy or rebuild(folder)
        raise
