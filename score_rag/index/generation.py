"""What a generation of the index is on disk, and whether it is whole.

index.json              which generation stands, and what it is: written last, in one rename
000001/documents.parquet   all versions of all users' documents, in the order of time
000001/vectors.npy         their vectors, memory-mapped: exact search, at any moment
000001/chroma/             the newest document of each user, for approximate search and for other programs; or
000001/ann.faiss           all documents, for approximate search at any moment
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from score_rag.documents.versions import DOCUMENT_COLUMNS
from score_rag.errors import DataError, IndexMismatchError, RenewIndex
from score_rag.files import VERIFY, changed_file, is_whole, read_json

if TYPE_CHECKING:
    from score_rag.encoders.encoder import Encoder

__all__ = ["FORMAT", "Generation", "generation_name", "read_generation", "rebuild", "stamp_of", "store_ids"]

FORMAT = 2


@dataclass(frozen=True)
class Generation:
    """The generation that stands: what `index.json` said, and the files that it named.

    Attributes:
        documents: Frame with `DOCUMENT_COLUMNS`, in the order of time.
        vectors: float32 [documents, dim], memory-mapped.
        settings: What `index.json` says.
        stamp: Of `index.json`, as `stamp_of` gives it.
    """

    documents: pl.DataFrame
    vectors: np.ndarray
    settings: Mapping[str, Any]
    stamp: tuple[int, int, int]


def read_generation(folder: Path, encoder: Encoder) -> Generation:
    """The generation that stands.

    Raises:
        IndexMismatchError: Another encoder or another version built it, or it is not whole.
    """
    again = rebuild(folder)
    stamp = stamp_of(folder)
    if stamp is None:
        raise IndexMismatchError("there is no finished index here", where=folder, remedy=again)
    try:
        settings = read_json(folder / "index.json")
        known = settings.get("format") == FORMAT
        whole = is_whole(settings)
    except (DataError, AttributeError) as error:
        raise IndexMismatchError("this index cannot be read", where=folder / "index.json", found=str(error), remedy=again) from error
    if not known:
        found = f"form {settings.get('format', 'unknown')}"
        raise IndexMismatchError("this index is of another version", where=folder, expected=f"form {FORMAT}", found=found, remedy=again)
    if not whole:
        raise IndexMismatchError("this index's record is not what was written", where=folder / "index.json", remedy=again)
    if settings["encoder"] != encoder.fingerprint:
        raise IndexMismatchError(
            "this index was built by another encoder: its vectors mean something else",
            where=folder,
            expected=f"encoder {encoder.fingerprint}",
            found=f"encoder {settings['encoder']}",
            remedy=again,
        )
    own = folder / generation_name(settings["generation"])
    digests = settings.get("digests", {}) if os.environ.get(VERIFY) != "0" else {}
    if (bad := changed_file(own, digests)) is not None:
        raise IndexMismatchError(
            "a file of this index cannot be read, or is not what was written",
            where=bad[0],
            expected=f"sha256 {digests[bad[0].relative_to(own).as_posix()][:16]}...",
            found=bad[1],
            remedy=again,
        )
    try:
        documents = pl.read_parquet(own / "documents.parquet")
        vectors = np.load(own / "vectors.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise IndexMismatchError("a file of this index cannot be read", where=own, found=str(error), remedy=again) from error
    shape = (settings["documents"], settings["dimension"])
    if documents.schema != DOCUMENT_COLUMNS or len(documents) != shape[0] or vectors.shape != shape:
        raise IndexMismatchError(
            "this index is not whole",
            where=own,
            expected=f"{shape[0]} documents of {shape[1]} dimensions",
            found=f"{len(documents)} documents, vectors {vectors.shape}",
            remedy=again,
        )
    return Generation(documents, vectors, settings, stamp)


def rebuild(folder: Path | None) -> RenewIndex:
    """What to do where an index is of no use."""
    return RenewIndex("rebuild", None if folder is None else str(folder))


def generation_name(generation: int) -> str:
    """The folder of a generation."""
    return f"{generation:06d}"


def store_ids(newest: pl.DataFrame, index: str) -> list[str]:
    """Ids in the store of an index's documents."""
    from score_rag.index.stores import store_id

    return [store_id(index, user, text) for user, text in newest.select("user_id", "text").iter_rows()]


def stamp_of(folder: Path) -> tuple[int, int, int] | None:
    """Changes whenever `index.json` does; None where there is none."""
    try:
        found = (folder / "index.json").stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
