"""What lies beside a generation's vectors for approximate search: a store of the newest documents, or lists of all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from score_rag.errors import IndexMismatchError
from score_rag.files import write_json
from score_rag.index.ann import FILE, AnnIndex, recall_wanted
from score_rag.index.chroma import LocalChroma
from score_rag.index.generation import generation_name, rebuild, store_ids
from score_rag.index.leftovers import Standing, read_waiting
from score_rag.index.moments import Moments
from score_rag.index.reader import BehaviourIndex
from score_rag.index.stores import Store, open_store
from score_rag.progress import Report, part_of

__all__ = ["fill_lists", "fill_store"]

_BLOCK = 50_000
"""Documents that are handed to a store at a time: objects, and a copy of their vectors."""


def fill_store(
    folder: Path,
    own: Path,
    newest: pl.DataFrame,
    vectors: np.ndarray,
    rows: np.ndarray,
    *,
    index: str,
    standing: BehaviourIndex | None,
    before: Standing,
    settings: Mapping[str, Any],
    report: Report,
) -> frozenset[str] | None:
    """Fill a store with the newest documents; one in the index's folder begins as that of the generation before was.

    Args:
        folder: The index's.
        own: The new generation's.
        newest: The newest document of each user.
        vectors: float32 [documents, dim], of all documents.
        rows: int64 [users], where theirs are.
        index: The index's id.
        standing: The generation before, where this is an update.
        before: What stands.
        settings: `store` and `store_options`.
        report: Told how far the work is.

    Returns:
        Where others see the store, the ids that it now holds too many of, until readers of the generation before are gone.
    """
    ids = store_ids(newest, index)
    begun = folder / generation_name(standing.generation) / "chroma" if standing is not None else None
    store: Store | None = None
    try:
        if settings["store"] == "chroma" and begun is not None and begun.is_dir():
            store, held = LocalChroma.copied(begun, own / "chroma"), before.ids
            store.remove(sorted(held - set(ids)))
        else:
            store = open_store(settings["store"], settings["store_options"], own / "chroma", index=index)
            held = before.ids if store.shared and standing is not None else frozenset()
        new = [place for place, name in enumerate(ids) if name not in held]
        if store.shared:
            # What is about to be put in, and what is about to be left behind, is written down first: should this be the end, the next
            # writer takes it out. Readers of the generation before may still ask for what is left behind, so not this one.
            waiting = read_waiting(folder)
            write_json(folder / "waiting.json", sorted(waiting | before.ids - set(ids) | {ids[place] for place in new}))
            store.remove(sorted(waiting - before.ids))
        for start in range(0, len(new), _BLOCK):
            part = new[start : start + _BLOCK]
            told = newest[part]
            facts = told.select("document_id", "user_id", "events", "known_until").to_dicts()
            said = part_of(report, start, len(new))
            store.add([ids[place] for place in part], np.asarray(vectors[rows[part]]), told["text"].to_list(), facts, said)
        if not store.shared and store.count() != len(ids):
            raise IndexMismatchError(
                "the store that was to be brought up to date is not whole",
                where=begun,
                expected=f"{len(ids)} users after the update",
                found=store.count(),
                remedy=rebuild(folder),
            )
        return before.ids - set(ids) if store.shared else None
    finally:
        if store is not None:
            store.close()


def fill_lists(
    own: Path,
    documents: pl.DataFrame,
    vectors: np.ndarray,
    *,
    standing: BehaviourIndex | None,
    settings: Mapping[str, Any],
    report: Report,
) -> dict[str, Any]:
    """Write the lists of a generation's documents; of an update only what is new is put in.

    Args:
        own: The new generation's folder.
        documents: All versions, in the order of time.
        vectors: float32 [documents, dim].
        standing: The generation before, where this is an update.
        settings: `store_options`.
        report: Told how far the work is.

    Returns:
        What `index.json` says of them.
    """
    moments = Moments(documents["known_until"].to_numpy(), documents["superseded_at"].to_numpy())
    recall = recall_wanted(settings["store_options"])
    facts = standing.settings.get("ann") if standing is not None else None
    if standing is None or standing.folder is None or facts is None:
        return AnnIndex.build(vectors, moments, recall=recall, report=report).save(own / FILE)
    place = standing.folder / generation_name(standing.generation) / FILE
    moved = _moved(standing.documents, documents)
    try:
        made = AnnIndex.updated(place, facts, moved, vectors, moments, recall=recall, report=report)
    except IndexMismatchError:
        # What is broken is made again: all that it is made of is here.
        made = AnnIndex.build(vectors, moments, recall=recall, report=report)
    return made.save(own / FILE)


def _moved(old: pl.DataFrame, new: pl.DataFrame) -> np.ndarray:
    """int64 [old]: where each document of the generation before is now, -1 where it is not, or says something else."""
    keys = ["document_id", "text"]
    places = new.select(*keys, place=pl.int_range(pl.len(), dtype=pl.Int64)).unique(keys, keep="first")
    found = old.select(keys).join(places, on=keys, how="left", maintain_order="left")["place"].fill_null(-1).to_numpy().copy()
    # Of two documents with one name, one is moved.
    _, first = np.unique(found, return_index=True)
    once = np.full(len(found), -1, dtype=np.int64)
    once[first] = found[first]
    return once
