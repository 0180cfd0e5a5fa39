"""The approximate index beside exact search: what building takes, bytes a vector, time a question, recall@10, now and as of moments.

    python benchmarks/ann_speed.py                       # 1 million documents of 384 numbers, 4 GB
    python benchmarks/ann_speed.py --documents 200000

Vectors are synthetic and clustered, as sentence vectors are: a direction in common, two of 2,000 topics (of skewed frequency) each, and
noise whose spectrum falls like 1/root. Half of the users have two versions. Time is of one thread's processor, so that what else the
machine does counts little: building as a ratio to one exact pass (blocks of 256) over 1,000 questions, a question as a ratio to an exact
one at the same moment. Memory is the process's own (`RssAnon`) at its most during a step: mapped vectors do not count.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from score_rag.documents.versions import FOREVER
from score_rag.index.ann import FILE, AnnIndex
from score_rag.index.exact import search_at, search_many
from score_rag.index.moments import Moments

DIMENSION, TOPICS, QUESTIONS, K = 384, 2000, 1000, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--recall", type=float, default=0.95)
    parser.add_argument("--single", type=int, default=200, help="questions that are asked one by one")
    parser.add_argument("--folder", type=Path, help="where the vectors are written for the time being")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        measure(Path(folder), given.documents, given.recall, given.single)


def measure(folder: Path, documents: int, recall: float, single: int) -> None:
    vectors, asked = clustered(folder / "vectors.npy", documents)
    until, superseded = versions(documents)
    # One pass more warms the pages.
    search_many(asked[:256], vectors, until, superseded, K, [None] * 256)
    started = time.process_time()
    with Memory() as memory:
        search_many(asked, vectors, until, superseded, K, [None] * QUESTIONS)
    floor = time.process_time() - started
    print(f"{documents:,} documents; an exact pass over {QUESTIONS:,} questions: {floor:.1f} s of the processor; {memory}", flush=True)
    started = time.process_time()
    with Memory() as memory:
        moments = Moments(until, superseded)
        made = AnnIndex.build(vectors, moments, recall=recall)
        built = time.process_time() - started
        facts = made.save(folder / FILE)
    size = (folder / FILE).stat().st_size / documents
    print(
        f"built in {built / floor:.1f} x, {size:.0f} bytes a vector, {facts['probe']} of {made._lists.nlist} lists looked into; {memory}",
        flush=True,
    )
    del made
    started = time.process_time()
    index = AnnIndex.open(folder / FILE, facts, vectors, moments)
    print(f"opened (digest checked, mapped) in {(time.process_time() - started) / floor:.3f} x", flush=True)
    for name, part in (("now", None), ("as of half", 0.5), ("as of a tenth", 0.1)):
        moment = None if part is None else int(until[int(documents * part)])
        compare(name, index, asked[:single], vectors, until, superseded, moment)
    moved = np.arange(documents)
    changed = np.random.default_rng(3).choice(documents, documents // 100, replace=False)
    moved[changed] = -1
    started = time.process_time()
    with Memory() as memory:
        AnnIndex.updated(folder / FILE, facts, moved, vectors, moments, recall=recall)
    print(f"an update of one document in a hundred: {(time.process_time() - started) / built:.2f} of building; {memory}")


def compare(
    name: str, index: AnnIndex, asked: np.ndarray, vectors: np.ndarray, until: np.ndarray, superseded: np.ndarray, moment: int | None
) -> None:
    """Time and recall of questions at one moment, one by one; each is asked about a second of its own, but for now."""
    exact, approximate, hits = [], [], []
    for number, vector in enumerate(asked):
        at = FOREVER if moment is None else moment - number
        started = time.thread_time()
        best = search_at(vector, vectors, until, superseded, K, at)
        exact.append(time.thread_time() - started)
        started = time.thread_time()
        found = index.nearest(vector, K, None if moment is None else at)
        approximate.append(time.thread_time() - started)
        hits.append(len(set(found.tolist()) & set(best.tolist())) / len(best))
    p50, p99 = (np.quantile(approximate, part) / np.quantile(exact, part) for part in (0.5, 0.99))
    mean = np.random.default_rng(0).choice(hits, (1000, len(hits))).mean(axis=1)
    low, high = np.quantile(mean, [0.025, 0.975])
    print(f"{name:<14} p50 {p50:.3f}, p99 {p99:.3f} of exact; recall@10 {np.mean(hits):.3f} ({low:.3f} to {high:.3f})", flush=True)


def clustered(file: Path, documents: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors in a file that is mapped, and questions of the same kind."""
    generator = np.random.default_rng(0)
    topics = _unit(generator.standard_normal((TOPICS, DIMENSION)))
    common = _unit(generator.standard_normal((1, DIMENSION)))
    spectrum = _unit((1 / np.sqrt(np.arange(1, DIMENSION + 1)))[None])
    turned = np.linalg.qr(generator.standard_normal((DIMENSION, DIMENSION)))[0].astype(np.float32)
    share = 1 / np.arange(1, TOPICS + 1) ** 0.7

    def drawn(count: int) -> np.ndarray:
        first, second = (topics[generator.choice(TOPICS, count, p=share / share.sum())] for _ in range(2))
        noise = (generator.standard_normal((count, DIMENSION), dtype=np.float32) * spectrum) @ turned
        return _unit(common + 0.7 * first + 0.35 * second + 0.6 * noise)

    asked = drawn(QUESTIONS)
    vectors = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=(documents, DIMENSION))
    for start in range(0, documents, 50_000):
        vectors[start : start + 50_000] = drawn(min(50_000, documents - start))
    vectors.flush()
    del vectors
    return np.load(file, mmap_mode="r"), asked


def versions(documents: int) -> tuple[np.ndarray, np.ndarray]:
    """(known until, superseded at): a third of the documents are superseded by another third, at moments drawn evenly."""
    generator = np.random.default_rng(1)
    until = np.sort(generator.integers(1_000_000_000, 1_500_000_000, documents))
    superseded = np.full(documents, FOREVER)
    drawn = generator.permutation(documents)[: documents // 3 * 2].reshape(2, -1)
    first, second = np.sort(drawn, axis=0)
    superseded[first] = until[second]
    return until, superseded


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class Memory:
    """The process's own memory at its most, looked at every 50 ms."""

    def __enter__(self) -> Memory:
        self._most, self._over = own_memory(), threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()
        return self

    def _look(self) -> None:
        while not self._over.wait(0.05):
            self._most = max(self._most, own_memory())

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watch.join()

    def __str__(self) -> str:
        return f"{self._most:.2f} GB at most"


def own_memory() -> float:
    """GB of this process that no file holds."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) * 1024 / 1e9


if __name__ == "__main__":
    main()
