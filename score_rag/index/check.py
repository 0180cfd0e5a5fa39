"""Whether an index is what it says: every file read, vectors made again, every part of the store asked for what it should hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from score_rag.errors import IndexMismatchError, MissingPackageError, ScoreError
from score_rag.index.reader import BehaviourIndex
from score_rag.index.writer import content_of
from score_rag.progress import Report, silent

if TYPE_CHECKING:
    from score_rag.encoders.encoder import Encoder

__all__ = ["Finding", "check_index"]

_AGAIN = 32
"""Texts that are embedded again."""
_ASKED = 300
"""Users whose own vector the store is asked for."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What.
        ok: Whether it is as it should be.
        told: What was found, in words.
    """

    name: str
    ok: bool
    told: str


def check_index(folder: Path | str, encoder: Encoder, *, store: str | None = None, seed: int = 0, report: Report = silent) -> list[Finding]:
    """Look at everything that can be wrong with an index; nothing is changed.

    Args:
        folder: The index's own.
        encoder: The one that should have built it.
        store: As `BehaviourIndex.open` takes it.
        seed: Draws what is looked at where not all is.

    Returns:
        Findings; one alone where the index cannot be opened.
    """
    try:
        index = BehaviourIndex.open(folder, encoder, store=store)
    except IndexMismatchError as error:
        return [_wrong("files", error)]
    generator = np.random.default_rng(seed)
    whole = content_of(index.documents) == index.settings["content"]
    told = f"generation {index.generation}: {len(index.documents):,} documents of {index.settings['users']:,} users"
    found = [Finding("documents", whole, told if whole else f"{told}; not those that were indexed")]
    until = index.documents["known_until"].to_numpy()
    if not (np.diff(until) >= 0).all():
        found.append(Finding("order", False, "the documents are not in the order of time"))
    lengths = np.linalg.norm(np.asarray(index.vectors), axis=1)
    off = int((~(np.abs(lengths - 1) < 1e-3)).sum())
    found.append(
        Finding("vectors", not off, f"{off:,} of {len(lengths):,} are not of length 1" if off else f"{len(lengths):,} of length 1")
    )
    report("checking the index", 1, 3)
    places = generator.choice(len(index.documents), min(_AGAIN, len(index.documents)), replace=False)
    again = encoder.encode([index.documents["text"][int(place)] for place in places])
    cosines = (again * np.asarray(index.vectors[places])).sum(axis=1)
    other = int((~(cosines > 0.999)).sum())
    found.append(Finding("encoder", not other, f"{len(places) - other} of {len(places)} texts have the vectors of this encoder"))
    report("checking the index", 2, 3)
    found.append(_store(index, generator))
    report("checking the index", 3, 3)
    return found


def _store(index: BehaviourIndex, generator: np.random.Generator) -> Finding:
    """Each user asked for by their own vector is found; a store that lost vectors still counts them."""
    newest = index.newest
    if index.settings["store"] == "exact":
        return Finding("store", True, "none: all questions are answered exactly")
    # However few there are, what is looked at is the store.
    index.exact_below = 0
    try:
        there = index.ann is not None or index.store is not None
    except (IndexMismatchError, MissingPackageError) as error:
        return _wrong("store", error)
    if not there:
        return Finding("store", True, "not looked at: it must not be written to (which Chroma does even to read), or its name is not given")
    asked = generator.choice(newest, min(_ASKED, len(newest)), replace=False)
    k = min(10, len(newest))
    lost, agree = 0, 0
    for place in asked:
        vector = np.asarray(index.vectors[place])
        try:
            hits = index.stored_places(vector, k)
        except IndexMismatchError as error:
            return _wrong("store", error)
        scores = np.asarray(index.vectors[hits]) @ vector if len(hits) else np.zeros(0)
        # Texts that are told of several users have one vector: any of them will do.
        lost += not (scores > 1 - 1e-3).any()
        exact = {hit.document_id for hit in index.exactly(vector, k, None, None)}
        agree += len(exact & {index.documents["document_id"][int(hit)] for hit in hits})
    recall = agree / (k * len(asked))
    return Finding(
        "store", not lost, f"{len(asked) - lost} of {len(asked)} users found by their own vector; recall@{k} {recall:.3f} of exact"
    )


def _wrong(name: str, error: ScoreError) -> Finding:
    told = [error.what, *(f"{word} {value}" for word, value in (("expected", error.expected), ("found", error.found)) if value)]
    return Finding(name, False, "; ".join(told))
