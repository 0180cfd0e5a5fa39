"""Writing the index: a new generation beside the standing one, `index.json` last. One writer at a time; a second is refused at once.

Only texts that the standing generation does not hold are embedded. A process killed at any moment leaves the standing generation as it was;
what it had begun is swept away by the next writer.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import polars as pl

from score_rag.documents.versions import DOCUMENT_COLUMNS, FOREVER
from score_rag.errors import ChangeSetting, DataError, IndexMismatchError, InputError, RenewIndex
from score_rag.extras import require
from score_rag.files import digests_of, folder_lock, sealed, write_json
from score_rag.index.ann import FILE
from score_rag.index.embed import write_vectors
from score_rag.index.fill import fill_lists, fill_store
from score_rag.index.generation import FORMAT, generation_name
from score_rag.index.leftovers import drop_collection, is_generation, is_of_index, read_standing
from score_rag.index.reader import BehaviourIndex
from score_rag.index.stores import is_python_name
from score_rag.progress import Report, silent

if TYPE_CHECKING:
    from score_rag.encoders.encoder import Encoder

__all__ = ["Written", "build_index", "content_of", "update_index"]

_SLICE = 65_536
"""Rows whose cells are Python objects at a time."""


@dataclass(frozen=True)
class Written:
    """What a build or an update did.

    Attributes:
        generation: The one that stands now.
        documents: How many it holds, all versions.
        users: Of so many users.
        embedded: Texts that were embedded for it.
        deleted: Users who were in the generation before, as far as it could be read, and are forgotten now.
    """

    generation: int
    documents: int
    users: int
    embedded: int
    deleted: int


def build_index(
    documents: pl.DataFrame,
    encoder: Encoder,
    folder: Path | str,
    *,
    store: str = "chroma",
    store_options: Mapping[str, Any] | None = None,
    beside: Callable[[Path], None] | None = None,
    report: Report = silent,
) -> Written:
    """Embed all documents and write an index; one that is there is left to its readers, and replaced.

    Args:
        documents: Frame of `build_documents`, or of `documents_of`.
        encoder: Makes the vectors.
        folder: The index's own.
        store: As `open_store` takes it.
        store_options: Likewise.
        beside: Lays other things into the generation's folder, which readers find with it: told the folder, before it stands.

    Raises:
        DataError: There are no documents.
        InputError: The folder holds other things than an index.
        LockedError: Another process writes to this index.
    """
    folder = Path(folder)
    strangers = [] if not folder.is_dir() or (folder / "index.json").exists() else [p.name for p in folder.iterdir() if not is_of_index(p)]
    if strangers:
        raise InputError(
            "this folder holds other things than an index",
            where=folder,
            expected="an empty folder, or none",
            found=", ".join(strangers[:5]),
        )
    with folder_lock(folder, doing="building an index", elsewhere=RenewIndex("build", "FOLDER")):
        return _write(folder, None, documents, encoder, {"store": store, "store_options": dict(store_options or {})}, report, beside)


def update_index(
    folder: Path | str,
    encoder: Encoder,
    documents: pl.DataFrame,
    *,
    delete: Collection[str] = (),
    whole: bool = False,
    store: str | None = None,
    store_options: Mapping[str, Any] | None = None,
    beside: Callable[[Path], None] | None = None,
    report: Report = silent,
) -> Written:
    """Bring an index up to date: only texts that it does not hold are embedded.

    Args:
        documents: All documents of the users that changed or are new.
        delete: Users to forget altogether.
        whole: `documents` are all that there is: users who are not in it are forgotten too.
        store: Where the index was built with a store that goes by a Python name: that name.
        store_options: The store's, where they are others than when it was built.
        beside: As `build_index` takes it.

    Raises:
        DataError: Nobody would be left.
        IndexMismatchError: There is no whole index of this encoder, or its store goes by a name that was not given.
        InputError: `delete` is a text, not several.
        LockedError: Another process writes to this index.
    """
    if isinstance(delete, str):
        raise InputError("users to delete are several, each a text", expected=f"[{delete!r}]", found=repr(delete))
    folder = Path(folder)
    with folder_lock(folder, doing="updating an index"):
        standing = BehaviourIndex.open(folder, encoder, store=store, store_options=store_options)
        kind = standing.settings["store"]
        if is_python_name(kind) and store != kind:
            raise IndexMismatchError(
                "this index has a store that goes by a Python name, which is followed only where it is given",
                where=folder,
                expected=f"store={kind!r}",
                found=f"store={store!r}",
                hint=f"give that name, by store={kind!r} or in a pipeline",
                remedy=ChangeSetting({"retriever.store": kind}),
            )
        documents = documents.select(list(DOCUMENT_COLUMNS)).filter(~_among(delete))
        if not whole:
            changed = standing.documents.filter(~_among([*documents["user_id"].unique(), *delete]))
            documents = pl.concat([changed, documents])
        settings = {name: standing.settings[name] for name in ("store", "store_options")}
        if store_options is not None and store in (None, kind):
            settings["store_options"] = dict(store_options)
        return _write(folder, standing, documents, encoder, settings, report, beside)


def _write(
    folder: Path,
    standing: BehaviourIndex | None,
    documents: pl.DataFrame,
    encoder: Encoder,
    settings: dict[str, Any],
    report: Report,
    beside: Callable[[Path], None] | None,
) -> Written:
    """Write the next generation; the caller holds the folder's lock."""
    if not len(documents):
        raise DataError(
            "there are no documents to index", expected="at least one user", hint="is the index still wanted? delete its folder"
        )
    if settings["store"] == "ann":
        require("faiss")
    documents = documents.select(list(DOCUMENT_COLUMNS)).sort("known_until", "document_id")
    before = read_standing(folder)
    number = max((int(place.name) for place in folder.iterdir() if is_generation(place)), default=0) + 1
    own = folder / generation_name(number)
    own.mkdir()
    index = before.index if standing is not None else uuid4().hex
    try:
        vectors, embedded = write_vectors(own / "vectors.npy", documents, encoder, standing, report=report)
        documents.write_parquet(own / "documents.parquet")
        rows = np.flatnonzero(documents["superseded_at"].to_numpy() == FOREVER)
        left: frozenset[str] | None = None
        beside_it: dict[str, Any] = {}
        if settings["store"] == "ann":
            beside_it["ann"] = fill_lists(own, documents, vectors, standing=standing, settings=settings, report=report)
        elif settings["store"] != "exact":
            left = fill_store(
                folder,
                own,
                documents[rows],
                vectors,
                rows,
                index=index,
                standing=standing,
                before=before,
                settings=settings,
                report=report,
            )
        what = {
            "format": FORMAT,
            "generation": number,
            "index": index,
            "previous": before.previous if standing is not None else before.index or None,
            "encoder": encoder.fingerprint,
            "dimension": int(vectors.shape[1]),
            "documents": len(documents),
            "users": len(rows),
            "content": content_of(documents),
        }
        if beside is not None:
            beside(own)
        # Chroma writes to its own files even to read them; what it finds is held to the vectors. Approximate lists have their own digest.
        written = digests_of(own, without=("chroma", FILE))
        write_json(folder / "index.json", sealed({**what, **settings, **beside_it, "digests": written}))
    except BaseException:
        shutil.rmtree(own, ignore_errors=True)
        raise
    if left is not None:
        write_json(folder / "waiting.json", sorted(left))
        drop_collection(settings, before.previous if standing is not None else None)
    for place in folder.iterdir():
        if is_generation(place) and int(place.name) not in (number, before.generation):
            shutil.rmtree(place, ignore_errors=True)
    return Written(number, len(documents), len(rows), embedded, len(before.users - set(documents["user_id"])))


def _among(users: Collection[str]) -> pl.Expr:
    return pl.col("user_id").is_in(pl.Series(list(users), dtype=pl.String).implode())


def content_of(documents: pl.DataFrame) -> str:
    """A word for who is told what, and when: `digest_json` of the columns' lists, of which only a slice is made at a time."""
    digest = hashlib.sha256()
    for number, name in enumerate(DOCUMENT_COLUMNS):
        digest.update(b",[" if number else b"[[")
        for place, part in enumerate(documents.select(name).iter_slices(_SLICE)):
            told = json.dumps(part[name].to_list(), ensure_ascii=False, separators=(",", ":"))[1:-1]
            digest.update((f",{told}" if place else told).encode())
        digest.update(b"]" if number + 1 < len(DOCUMENT_COLUMNS) else b"]]")
    return digest.hexdigest()
