"""What earlier writers left of an index: the generation that stands, and what those who did not come to their end had begun."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from score_rag.documents.versions import FOREVER
from score_rag.errors import DataError, ScoreError
from score_rag.files import read_json
from score_rag.index.chroma import ChromaServer
from score_rag.index.generation import generation_name, store_ids
from score_rag.index.stores import is_beside, is_python_name, open_store

__all__ = ["Standing", "drop_collection", "is_generation", "is_of_index", "read_standing", "read_waiting"]


@dataclass(frozen=True)
class Standing:
    """What stood before, as far as it can be read: never trusted further than to tidy up after it."""

    generation: int | None = None
    index: str = ""
    users: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()
    previous: str | None = None


def read_standing(folder: Path) -> Standing:
    """What stands; of what cannot be read, nothing."""
    try:
        settings = read_json(folder / "index.json")
        number, index = int(settings["generation"]), str(settings["index"])
        documents = pl.read_parquet(folder / generation_name(number) / "documents.parquet")
        stored = settings["store"] not in ("ann", "exact")
        ids = frozenset(store_ids(documents.filter(pl.col("superseded_at") == FOREVER), index)) if stored else frozenset()
        return Standing(number, index, frozenset(documents["user_id"]), ids, settings.get("previous"))
    except (ScoreError, KeyError, TypeError, ValueError, AttributeError, OSError, pl.exceptions.PolarsError):
        return Standing()


def read_waiting(folder: Path) -> set[str]:
    """Ids in a shared store that some writer began to put in, or that readers have had time to do without."""
    try:
        return set(read_json(folder / "waiting.json"))
    except DataError:
        return set()


def is_generation(place: Path) -> bool:
    """Whether something is the folder of a generation."""
    return place.is_dir() and len(place.name) == 6 and place.name.isdigit()


def is_of_index(place: Path) -> bool:
    """Whether something in a folder without `index.json` is what a writer leaves that did not come to its end."""
    parts = ("vectors.npy", "documents.parquet", "chroma", "ann.faiss")
    ours = is_generation(place) and all(inner.name in parts for inner in place.iterdir())
    files = (".lock", ".lock.json", "waiting.json", "index.json")
    # A file that was being written has its name between a dot and a word by chance.
    aside = place.name.endswith(".tmp") and any(place.name.startswith(f".{name}.") for name in files)
    return ours or aside or place.name in files


def drop_collection(settings: Mapping[str, Any], index: str | None) -> None:
    """Take away the collection of an index that was built anew since, now that its readers have had time to go on."""
    if index is None or is_beside(settings["store"]) or is_python_name(settings["store"]):
        return
    store = open_store(settings["store"], settings["store_options"], Path(), index=index)
    if isinstance(store, ChromaServer):
        store.drop()
