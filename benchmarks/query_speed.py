"""p50 and p99 of a question, with and without `as_of`, beside LlamaIndex's `VectorIndexRetriever` on the very same Chroma store.

    python benchmarks/query_speed.py [--users 6000 100000 1000000] [--dim 384]

Vectors are synthetic (users of 200 tastes), and every question brings its own, so that embedding is in neither. Each user has one document,
known at a moment of its own; `as_of` asks for the first half of time. Theirs filters by metadata, as Chroma can. Memory is what a fresh
process has more of its own (mapped files not counted) after opening the index and asking both ways. Run it alone on the machine.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from llama_index.core import MockEmbedding, VectorStoreIndex
from llama_index.core.schema import QueryBundle
from llama_index.core.vector_stores import FilterOperator, MetadataFilter, MetadataFilters
from llama_index.vector_stores.chroma import ChromaVectorStore
from rich.console import Console
from rich.table import Table

from score_rag import CollaborativeRetriever, UserQuery
from score_rag.documents.versions import DOCUMENT_COLUMNS, FOREVER
from score_rag.index.reader import BehaviourIndex
from score_rag.index.writer import build_index
from score_rag.progress import Report, silent


class Given:
    """An encoder whose vectors are given: document n has row n."""

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = vectors
        self.fingerprint = f"given-{vectors.shape}"

    def encode(self, texts: Sequence[str], *, report: Report = silent) -> np.ndarray:
        return self.vectors[[int(text.rpartition(" ")[2]) for text in texts]]

    async def aencode(self, texts: Sequence[str]) -> np.ndarray:
        return self.encode(texts)


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def times(ask: Callable[[np.ndarray], object], asked: np.ndarray) -> np.ndarray:
    """Seconds of each question, after a few to warm up."""
    for vector in asked[:5]:
        ask(vector)
    out = []
    for vector in asked:
        started = time.perf_counter()
        ask(vector)
        out.append(time.perf_counter() - started)
    return np.array(out)


def resident() -> float:
    """Megabytes that are this process's own, mapped files not counted."""
    found = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(found["RssAnon"].split()[0]) / 1024


def memory(folder: str) -> float:
    """Megabytes that opening an index and asking it takes, in this process."""
    vectors = np.load(next(Path(folder).glob("*/vectors.npy")), mmap_mode="r")
    encoder = Given(vectors)
    import chromadb  # noqa: F401

    before = resident()
    retriever = CollaborativeRetriever(BehaviourIndex.open(folder, encoder), encoder)
    vector = np.asarray(vectors[0]).tolist()
    for as_of in (None, len(vectors) // 2):
        retriever.retrieve(UserQuery("?", embedding=vector, as_of=as_of))
    return resident() - before


def measure(users: int, dim: int, questions: int, table: Table, k: int = 10) -> None:
    generator = np.random.default_rng(0)
    tastes = generator.normal(size=(200, dim)).astype(np.float32)
    vectors = np.empty((users, dim), dtype=np.float32)
    for start in range(0, users, 100_000):
        rows = min(100_000, users - start)
        vectors[start : start + rows] = unit(tastes[generator.integers(0, 200, rows)] + generator.normal(size=(rows, dim)))
    asked = unit(tastes[generator.integers(0, 200, questions)] + generator.normal(size=(questions, dim)))
    number = np.arange(users)
    documents = pl.DataFrame(
        {
            "document_id": [f"{n}@0" for n in number],
            "user_id": [str(n) for n in number],
            "text": [f"Behaviour of user {n}" for n in number],
            "events": np.ones(users, dtype=np.int64),
            "known_until": generator.permutation(users),
            "superseded_at": np.full(users, FOREVER),
        },
        schema=DOCUMENT_COLUMNS,
    )
    half = users // 2
    with tempfile.TemporaryDirectory() as folder:
        encoder = Given(vectors)
        build_index(documents, encoder, folder)
        own = float(subprocess.run([sys.executable, __file__, "--inside", folder], check=True, capture_output=True, text=True).stdout)
        index = BehaviourIndex.open(folder, encoder)
        ours = CollaborativeRetriever(index, encoder, similarity_top_k=k)
        plain = times(lambda vector: ours.retrieve(UserQuery("?", embedding=vector.tolist())), asked)
        filtered = times(lambda vector: ours.retrieve(UserQuery("?", embedding=vector.tolist(), as_of=half)), asked)
        index.exact_below = 0
        store = index.store.collection  # type: ignore[union-attr]
        stock = VectorStoreIndex.from_vector_store(ChromaVectorStore(chroma_collection=store), embed_model=MockEmbedding(dim))
        limits = MetadataFilters(filters=[MetadataFilter(key="known_until", value=half, operator=FilterOperator.LT)])
        free, bound = stock.as_retriever(similarity_top_k=k), stock.as_retriever(similarity_top_k=k, filters=limits)
        their_plain = times(lambda vector: free.retrieve(QueryBundle("?", embedding=vector.tolist())), asked)
        few = asked[: max(10, questions // 10)]
        their_filtered = times(lambda vector: bound.retrieve(QueryBundle("?", embedding=vector.tolist())), few)
        agree = []
        for vector in asked:
            exact = {hit.document_id for hit in index.exactly(vector, k, None, None)}
            near = {index.documents["document_id"][int(place)] for place in index.places_of(index.store.nearest(vector, k))}  # type: ignore[union-attr]
            agree.append(len(exact & near) / k)
        one = [hit.document_id for hit in index.query(asked[0], k, as_of=half)]
        brute = np.where(index.documents["known_until"].to_numpy() < half, np.asarray(index.vectors) @ asked[0], -np.inf)
        assert one == [index.documents["document_id"][int(place)] for place in np.argsort(-brute, kind="stable")[:k]]
    for name, mine, their in (("now", plain, their_plain), ("as of half-time", filtered, their_filtered)):
        row = [f"{users:,}", name]
        for share in (50, 99):
            at, other = np.percentile(mine, share), np.percentile(their, share)
            row += [f"{at * 1e3:.2f}", f"{other * 1e3:.2f}", f"{other / at:.1f}"]
        table.add_row(*row, f"{np.mean(agree):.3f}" if name == "now" else "1 (exact)", f"{own:,.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, nargs="+", default=[6_000, 100_000])
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--questions", type=int, default=300)
    given = parser.parse_args()
    if given.inside:
        print(memory(given.inside))
        return
    table = Table(title=f"{given.dim} dimensions, top 10; theirs / ours: how many times faster ours is", title_justify="left")
    for column in (
        "users",
        "asked",
        "p50 ms",
        "theirs",
        "theirs / ours",
        "p99 ms",
        "theirs",
        "theirs / ours",
        "recall@10 of the store",
        "MB",
    ):
        table.add_column(column, justify="right")
    for users in given.users:
        measure(users, given.dim, given.questions, table)
    Console(width=130).print(table)
    print(f"peak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


if __name__ == "__main__":
    main()
