"""Writing the index: a new generation beside the standing one, `index.json` last. One writer at a time; a second is refused at once.

Only texts that the standing generation does not hold are embedded. A process killed at any moment leaves the standing generation as it was;
what it had begun is swept away by the next writer.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from score_rag.documents import DOCUMENT_COLUMNS, FOREVER
from score_rag.errors import DataError, IndexMismatchError, ScoreError
from score_rag.files import digest_json, folder_lock, read_json, write_json
from score_rag.progress import Report, silent
from score_rag.retriever.index import FORMAT, BehaviourIndex, generation_name, store_ids
from score_rag.retriever.stores import LocalChroma, Store, open_store

if TYPE_CHECKING:
    from score_rag.retriever.encoder import Encoder

__all__ = ["Written", "build_index", "content_of", "update_index"]


@dataclass(frozen=True)
class Written:
    """What a build or an update did.

    Attributes:
        generation: The one that stands now.
        documents: How many it holds, all versions.
        users: Of so many users.
        embedded: Texts that were embedded for it.
        deleted: Users who were in the generation before and are forgotten now.
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
    report: Report = silent,
) -> Written:
    """Embed all documents and write an index; one that is there is left to its readers, and replaced.

    Args:
        documents: Frame of `build_documents`, or of `documents_of`.
        encoder: Makes the vectors.
        folder: The index's own.
        store: As `open_store` takes it.
        store_options: Likewise.

    Raises:
        DataError: There are no documents.
        LockedError: Another process writes to this index.
    """
    folder = Path(folder)
    with folder_lock(folder, doing="building an index"):
        return _write(folder, None, documents, encoder, {"store": store, "store_options": dict(store_options or {})}, report)


def update_index(
    folder: Path | str,
    encoder: Encoder,
    documents: pl.DataFrame,
    *,
    delete: Collection[str] = (),
    whole: bool = False,
    report: Report = silent,
) -> Written:
    """Bring an index up to date: only texts that it does not hold are embedded.

    Args:
        documents: All documents of the users that changed or are new.
        delete: Users to forget altogether.
        whole: `documents` are all that there is: users who are not in it are forgotten too.

    Raises:
        IndexMismatchError: There is no whole index of this encoder.
        LockedError: Another process writes to this index.
    """
    folder = Path(folder)
    with folder_lock(folder, doing="updating an index"):
        standing = BehaviourIndex.open(folder, encoder)
        if not whole:
            gone = pl.Series([*documents["user_id"].unique(), *delete], dtype=pl.String)
            kept = standing.documents.filter(~pl.col("user_id").is_in(gone.implode()))
            documents = pl.concat([kept, documents.select(list(DOCUMENT_COLUMNS))])
        settings = {name: standing.settings[name] for name in ("store", "store_options")}
        return _write(folder, standing, documents, encoder, settings, report)


def _write(
    folder: Path, standing: BehaviourIndex | None, documents: pl.DataFrame, encoder: Encoder, settings: dict[str, Any], report: Report
) -> Written:
    """Write the next generation; the caller holds the folder's lock."""
    if not len(documents):
        raise DataError("there are no documents to index", hint="run the documents stage: score-rag run PIPELINE --until documents")
    documents = documents.select(list(DOCUMENT_COLUMNS)).sort("known_until", "document_id")
    before, forgotten = _before(folder)
    number = max((int(place.name) for place in folder.iterdir() if place.name.isdigit()), default=0) + 1
    own = folder / generation_name(number)
    own.mkdir()
    try:
        vectors, embedded = _vectors(documents, encoder, standing, report)
        np.save(own / "vectors.npy", vectors)
        documents.write_parquet(own / "documents.parquet")
        rows = np.flatnonzero(documents["superseded_at"].to_numpy() == FOREVER)
        ids = store_ids(documents[rows], encoder.fingerprint)
        begun = folder / generation_name(standing.generation) / "chroma" if standing is not None else None
        forked = settings["store"] == "chroma" and begun is not None and begun.is_dir()
        held = forgotten if forked or (settings["store"] != "chroma" and standing is not None) else set()
        new = [place for place, name in enumerate(ids) if name not in held]
        gone = sorted(forgotten - set(ids))
        if forked and begun is not None:
            store: Store = LocalChroma.copied(begun, own / "chroma")
            store.remove(gone)
        else:
            store = open_store(settings["store"], settings["store_options"], own / "chroma")
        if store.shared:
            # What is about to be put in is written down first: should this be the end, the next writer takes it out again.
            waiting = _waiting(folder)
            write_json(folder / "waiting.json", sorted({*waiting, *(ids[place] for place in new)}))
            store.remove(sorted(waiting - set(ids) - forgotten))
        told = documents[rows[new]]
        facts = told.select("document_id", "user_id", "events", "known_until").to_dicts()
        store.add([ids[place] for place in new], vectors[rows[new]], told["text"].to_list(), facts, report)
        if not store.shared and store.count() != len(ids):
            raise IndexMismatchError(
                "the store that was to be brought up to date is not whole",
                where=begun,
                expected=f"{len(ids)} users after the update",
                found=store.count(),
                hint=f"build it again: score-rag index rebuild PIPELINE --folder {folder}",
            )
        what = {
            "format": FORMAT,
            "generation": number,
            "encoder": encoder.fingerprint,
            "dimension": int(vectors.shape[1]),
            "documents": len(documents),
            "users": len(ids),
            "content": content_of(documents),
        }
        write_json(folder / "index.json", {**what, **settings})
    except BaseException:
        shutil.rmtree(own, ignore_errors=True)
        raise
    if store.shared:
        # Readers of the generation before may still ask for what has gone: the next writer takes it out.
        write_json(folder / "waiting.json", gone)
    for place in folder.iterdir():
        if place.name.isdigit() and int(place.name) not in (number, before):
            shutil.rmtree(place, ignore_errors=True)
    deleted = standing.documents["user_id"].unique().is_in(documents["user_id"].unique().implode()).not_().sum() if standing else 0
    return Written(number, len(documents), len(ids), embedded, int(deleted))


def _vectors(documents: pl.DataFrame, encoder: Encoder, standing: BehaviourIndex | None, report: Report) -> tuple[np.ndarray, int]:
    """(vectors, how many texts were embedded for them): a text that the standing index holds is not embedded again."""
    texts = documents["text"].to_list()
    known = {text: place for place, text in enumerate(standing.documents["text"])} if standing is not None else {}
    fresh = {text: place for place, text in enumerate(dict.fromkeys(text for text in texts if text not in known))}
    embedded = encoder.encode(list(fresh), report=report) if fresh else np.empty((0, 0), dtype=np.float32)
    if standing is None:
        return embedded[[fresh[text] for text in texts]], len(fresh)
    vectors = np.empty((len(texts), standing.vectors.shape[1]), dtype=np.float32)
    for row, text in enumerate(texts):
        vectors[row] = embedded[fresh[text]] if text in fresh else standing.vectors[known[text]]
    return vectors, len(fresh)


def content_of(documents: pl.DataFrame) -> str:
    """A word for who is told what, and when."""
    return digest_json([documents[name].to_list() for name in DOCUMENT_COLUMNS])


def _before(folder: Path) -> tuple[int | None, set[str]]:
    """(number of the generation that stands, its ids in the store), as far as they can be read; nothing here is trusted further."""
    try:
        settings = read_json(folder / "index.json")
        number = int(settings["generation"])
        documents = pl.read_parquet(folder / generation_name(number) / "documents.parquet")
        return number, set(store_ids(documents.filter(pl.col("superseded_at") == FOREVER), settings["encoder"]))
    except (ScoreError, KeyError, TypeError, ValueError, OSError, pl.exceptions.PolarsError):
        return None, set()


def _waiting(folder: Path) -> set[str]:
    """Ids in a shared store that some writer began to put in, or that readers have had time to do without."""
    try:
        return set(read_json(folder / "waiting.json"))
    except DataError:
        return set()
