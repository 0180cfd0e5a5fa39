"""Approximate search at any moment, for more documents than exact search suits: FAISS's inverted lists beside `vectors.npy`.

Documents lie in lists by the nearest of some thousand centroids, sixteen bits a number; a question looks into the nearest lists, at what
is visible at its moment alone, and the best are scored again by their true vectors. How many lists are looked into is measured when they
are made. The file is mapped into memory: processes share it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from score_rag.documents.versions import FOREVER
from score_rag.errors import ConfigError, IndexMismatchError
from score_rag.extras import names_extras
from score_rag.files import digest_file
from score_rag.index.exact import best_places
from score_rag.index.moments import Moments
from score_rag.progress import Report, silent

__all__ = ["FILE", "AnnIndex", "recall_wanted"]

FILE = "ann.faiss"
_LISTS_A_ROOT = 4
"""Lists for each of the square root of the documents: finding the nearest centroids costs about as much as looking into their lists."""
_TRAINED_ON = 32
"""Vectors a centroid is found from."""
_ROUNDS = 6
_ASKED = 200
"""Documents that are asked with to find how many lists to look into."""
_BLOCK = 65_536
_GROWN = 2
"""Lists are made anew when the documents are so many times as many, or a so manieth, as when they were made."""


def recall_wanted(options: Mapping[str, Any]) -> float:
    """The recall that `store_options` ask for.

    Raises:
        ConfigError: It is none.
    """
    wanted = options.get("recall", 0.95)
    if isinstance(wanted, bool) or not isinstance(wanted, int | float) or not 0 < wanted <= 1:
        raise ConfigError("a recall is a share", where="retriever.store_options.recall", expected="above 0, at most 1", found=repr(wanted))
    return float(wanted)


class AnnIndex:
    """Inverted lists over the documents of a generation.

    Args:
        lists: FAISS's index; its ids are places in `vectors`.
        vectors: float32 [documents, dim], unit length.
        moments: What is visible when.
        facts: `probe`, lists that are looked into when all newest documents are visible; `trained`, documents the lists were made from.
    """

    def __init__(self, lists: Any, vectors: np.ndarray, moments: Moments, facts: Mapping[str, Any]) -> None:
        self._lists = lists
        self._vectors = vectors
        self.moments = moments
        self.facts = dict(facts)
        self._now = moments.count(FOREVER)

    @classmethod
    @names_extras()
    def build(cls, vectors: np.ndarray, moments: Moments, *, recall: float, seed: int = 0, report: Report = silent) -> AnnIndex:
        """Make the lists.

        Args:
            vectors: float32 [documents, dim], in the order of time.
            recall: The share of the ten nearest that is to be found.
            seed: Draws what centroids are found from.
            report: Told how far the work is.

        Raises:
            MissingPackageError: FAISS is not installed.
        """
        import faiss

        count, dimension = vectors.shape
        number = max(1, min(int(_LISTS_A_ROOT * count**0.5), count // _TRAINED_ON))
        kind, inner = faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        lists = faiss.IndexIVFScalarQuantizer(faiss.IndexFlatIP(dimension), dimension, number, kind, inner, False)
        lists.cp.niter, lists.cp.max_points_per_centroid, lists.cp.min_points_per_centroid = _ROUNDS, _TRAINED_ON, 1
        lists.cp.spherical, lists.cp.seed = True, seed + 1
        drawn = np.sort(np.random.default_rng(seed).choice(count, min(count, number * _TRAINED_ON), replace=False))
        report("making lists", 0, 1)
        lists.train(np.ascontiguousarray(vectors[drawn]))
        report("making lists", 1, 1)
        made = cls(lists, vectors, moments, {"trained": count, "recall": recall, "seed": seed})
        made._add(np.arange(count), report)
        made._measure()
        return made

    @classmethod
    @names_extras()
    def updated(
        cls,
        place: Path,
        facts: Mapping[str, Any],
        moved: np.ndarray,
        vectors: np.ndarray,
        moments: Moments,
        *,
        recall: float,
        report: Report = silent,
    ) -> AnnIndex:
        """Lists of the next generation: what stays keeps its list and code, what is new is put in.

        Args:
            place: The file of the generation before.
            facts: What `index.json` says of it.
            moved: int64 [documents of the generation before]: where each is in the next; -1 where it is not.
            vectors: float32 [documents, dim] of the next.
            moments: Of the next.
            recall: As `build` takes it.
            report: Told how far the work is.

        Raises:
            IndexMismatchError: The file is not what was written.
            MissingPackageError: FAISS is not installed.
        """
        if not facts["trained"] <= len(vectors) * _GROWN <= facts["trained"] * _GROWN**2:
            return cls.build(vectors, moments, recall=recall, seed=facts["seed"], report=report)
        import faiss

        lists = _read(place, facts, len(moved), flags=0)
        held, size = lists.invlists, lists.code_size
        for number in range(lists.nlist):
            if not (count := held.list_size(number)):
                continue
            ids = moved[faiss.rev_swig_ptr(held.get_ids(number), count)]
            stay = np.flatnonzero(ids >= 0)
            codes = faiss.rev_swig_ptr(held.get_codes(number), count * size).reshape(count, size)[stay]
            ids = ids[stay]
            held.resize(number, len(stay))
            if len(stay):
                held.update_entries(number, 0, len(stay), faiss.swig_ptr(ids), faiss.swig_ptr(codes))
        new = np.ones(len(vectors), dtype=bool)
        new[moved[moved >= 0]] = False
        lists.ntotal = int((~new).sum())
        kept = {name: facts[name] for name in ("trained", "seed")}
        made = cls(lists, vectors, moments, {**kept, "recall": recall})
        made._add(np.flatnonzero(new), report)
        made._measure()
        return made

    @classmethod
    @names_extras()
    def open(cls, place: Path, facts: Mapping[str, Any], vectors: np.ndarray, moments: Moments) -> AnnIndex:
        """Map lists into memory; facts as `save` gave them.

        Raises:
            IndexMismatchError: The file is not what was written.
            MissingPackageError: FAISS is not installed.
        """
        import faiss

        return cls(_read(place, facts, len(vectors), flags=faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY), vectors, moments, facts)

    def save(self, place: Path) -> dict[str, Any]:
        """Write the lists; what `index.json` has to say of them."""
        import faiss

        faiss.write_index(self._lists, str(place))
        self.facts["digest"] = digest_file(place)
        return dict(self.facts)

    def nearest(self, vector: np.ndarray, k: int, as_of: int | None = None) -> np.ndarray:
        """int64 [at most k]: places of the nearest documents that are visible at a moment, nearest first."""
        return self.nearest_many(vector[None], k, as_of)[0]

    def nearest_many(self, vectors: np.ndarray, k: int, as_of: int | None = None) -> list[np.ndarray]:
        """`nearest` of several vectors, [n, dim], at one moment."""
        import faiss

        time = FOREVER if as_of is None else as_of
        bits = self.moments.visible(time)
        # The fewer are visible, the further apart are the nearest.
        sparse = (self._now / max(self.moments.count(time), 1)) ** 0.5
        probe = min(self._lists.nlist, round(self.facts["probe"] * max(sparse, 1)))
        given = faiss.SearchParametersIVF(sel=faiss.IDSelectorBitmap(bits), nprobe=probe)
        asked = np.ascontiguousarray(vectors, dtype=np.float32)
        found = self._lists.search(asked, min(k, len(self._vectors)), params=given)[1]
        return [self._best(vector, places[places >= 0], k) for vector, places in zip(asked, found, strict=True)]

    def _best(self, vector: np.ndarray, places: np.ndarray, k: int) -> np.ndarray:
        places = np.sort(places)
        best: np.ndarray = places[best_places(np.asarray(self._vectors[places]) @ vector, k)]
        return best

    def _add(self, places: np.ndarray, report: Report) -> None:
        for start in range(0, len(places), _BLOCK):
            part = places[start : start + _BLOCK]
            self._lists.add_with_ids(np.ascontiguousarray(self._vectors[part], dtype=np.float32), part.astype(np.int64))
            report("filling lists", start + len(part), len(places))

    def _measure(self) -> None:
        """Find how many lists are to be looked into: the fewest that find the recall for documents themselves, to an eighth."""
        visible = np.flatnonzero(np.unpackbits(self.moments.visible(FOREVER), count=len(self._vectors), bitorder="little"))
        asked = np.random.default_rng(self.facts["seed"]).choice(visible, min(_ASKED, len(visible)), replace=False)
        vectors = np.asarray(self._vectors[np.sort(asked)])
        k = min(10, len(visible))
        wanted = _edges(vectors, self._vectors, visible, k)

        def enough(probe: int) -> bool:
            self.facts["probe"] = probe
            found = self.nearest_many(vectors, k)
            told = zip(vectors, found, wanted, strict=True)
            hits = [(np.asarray(self._vectors[own]) @ vector >= edge - 1e-6).sum() for vector, own, edge in told]
            return bool(np.mean(np.minimum(hits, k)) >= self.facts["recall"] * k)

        high = 1
        while high < self._lists.nlist and not enough(high):
            high = min(2 * high, self._lists.nlist)
        low = high // 2
        while high - low > max(high // 8, 1):
            middle = (low + high) // 2
            low, high = (low, middle) if enough(middle) else (middle, high)
        self.facts["probe"] = high


def _edges(asked: np.ndarray, vectors: np.ndarray, visible: np.ndarray, k: int) -> np.ndarray:
    """float32 [n]: the score of the k-th nearest visible document of each asked vector; blocks, so that no copy of all is made."""
    best = np.full((len(asked), k), -np.inf, dtype=np.float32)
    for start in range(0, len(visible), _BLOCK):
        scores = asked @ np.asarray(vectors[visible[start : start + _BLOCK]]).T
        both = np.concatenate([best, scores], axis=1)
        best = np.partition(both, both.shape[1] - k, axis=1)[:, -k:]
    edges: np.ndarray = best.min(axis=1)
    return edges


def _read(place: Path, facts: Mapping[str, Any], count: int, *, flags: int) -> Any:
    """FAISS's index in a file, which is looked at first: a reader in C++ is no place for foreign bytes."""
    import faiss

    if not place.is_file() or digest_file(place) != facts["digest"]:
        found = "another one" if place.is_file() else "none"
        raise IndexMismatchError(
            "the approximate index is not what was written", where=place, expected="the file of this digest", found=found
        )
    lists = faiss.read_index(str(place), flags)
    if lists.ntotal != count:
        raise IndexMismatchError("the approximate index is not whole", where=place, expected=count, found=lists.ntotal)
    return lists
