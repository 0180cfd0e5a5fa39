"""What the shard protocol costs beside the work, and whether results depend on the number of shards.

    python benchmarks/shards.py [--rows 2000000] [--users 50000] [--shards 8]
    python benchmarks/shards.py --pipeline sample [--rows 400] [--set ...]

Without a pipeline: a job that computes nothing (the length of the item's id), each step in a process of its own, as seconds over those of
a floor of the same run (Polars streams the same input into one file) and as peak memory. With one: real rows (users of the run, random
items) in one shard, in four, in smaller batches, and with another number of threads; the largest difference of P(like) to the first, and
rows a second with and without reranking, of embedding, and what a start costs.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl

from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.run import Run
from score_rag.shards import EmbedJob, Job, ScoreJob, Shard, check_shards, merge_shards, run_shard
from score_rag.shards.job import Answers
from score_rag.shards.source import Source, find_source


class Nothing(Job):
    """The length of an id."""

    name = doing = "nothing"
    group, key = "user_id", ("user_id", "item_id")

    def __init__(self, source: Source) -> None:
        pipeline: Any = SimpleNamespace(words="none")
        super().__init__(SimpleNamespace(pipeline=pipeline), source)  # type: ignore[arg-type]  # asked for its name alone

    @property
    def makes(self) -> dict[str, pl.DataType]:
        return {"length": pl.UInt32()}

    def facts(self) -> dict[str, Any]:
        return {"job": self.name, "input": {"sha256": self.source.digest, "rows": self.source.rows}}

    def answer(self, rows: pl.DataFrame) -> Answers:
        return Answers({"length": rows["item_id"].str.len_bytes()}, {})


def floor(source: Path, out: Path) -> None:
    """Read all and write all."""
    pl.scan_parquet(source).with_columns(length=pl.col("item_id").str.len_bytes()).sink_parquet(out)


def one_shard(source: Path, out: Path, index: int, shards: int) -> None:
    run_shard(Nothing(find_source(source)), Shard(index, shards), out)


def measured(queue: Any, act: Callable[..., None], *given: Any) -> None:
    started = time.perf_counter()
    act(*given)
    queue.put((time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def apart(act: Callable[..., Any], *given: Any) -> tuple[float, float]:
    """(seconds, peak MB) of a call in a process of its own, but for its start."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    child = context.Process(target=measured, args=(queue, act, *given))
    child.start()
    found: tuple[float, float] = queue.get()
    child.join()
    return found


def protocol(folder: Path, rows: int, users: int, shards: int) -> None:
    rng = np.random.default_rng(0)
    source = folder / "in.parquet"
    # Each item once a user at most: ids are unique.
    pl.DataFrame({"user_id": rng.integers(0, users, rows), "item_id": np.arange(rows).astype(str)}).write_parquet(source)
    least, memory = apart(floor, source, folder / "floor.parquet")
    print(f"floor: read and write {rows:,} rows once: {least:.2f} s, {memory:.0f} MB")
    steps: list[tuple[str, Callable[..., Any], tuple[Any, ...]]] = [
        ("one shard of 1", one_shard, (source, folder / "one", 0, 1)),
        *((f"shard {index} of {shards}", one_shard, (source, folder / "many", index, shards)) for index in range(shards)),
        ("check", check_shards, (folder / "many",)),
        ("merge", merge_shards, (folder / "many", folder / "merged.parquet")),
    ]
    for name, act, given in steps:
        seconds, memory = apart(act, *given)
        print(f"{name}: {seconds / least:.1f} x the floor, {memory:.0f} MB")
    merge_shards(folder / "one", folder / "merged-one.parquet")
    same = pl.read_parquet(folder / "merged.parquet").equals(pl.read_parquet(folder / "merged-one.parquet"))
    print(f"merged: equal to one shard's: {same}")


def scores(folder: Path, name: str, overrides: list[str], rows: int) -> None:
    source = folder / "in.parquet"
    run = Run.open(load_pipeline(name, overrides=overrides))
    chance = random.Random(0)
    users, items = sorted(run.histories.log.users), sorted(run.histories.catalogue)
    pairs = [(user, item) for user in chance.sample(users, min(len(users), -(-rows // 10))) for item in chance.sample(items, 10)][:rows]
    pl.DataFrame(pairs, schema=["user_id", "item_id"], orient="row").write_parquet(source)
    kinds = {"1 shard": (1, 256, "1"), "4 shards": (4, 256, "1"), "batches of 32": (1, 32, "1"), "2 threads": (1, 256, "2")}
    first: np.ndarray | None = None
    for kind, (shards, batch_rows, threads) in kinds.items():
        out = folder / kind.replace(" ", "-")
        os.environ["OMP_NUM_THREADS"] = threads
        seconds = [apart(one_score, name, overrides, source, out, index, shards, batch_rows, True)[0] for index in range(shards)]
        merge_shards(out, folder / "all.parquet")
        found = pl.read_parquet(folder / "all.parquet")["probability"].to_numpy()
        first = found if first is None else first
        print(f"{kind}: {sum(seconds):.1f} s, largest difference of P(like) {np.abs(found - first).max():.1e}")
    os.environ["OMP_NUM_THREADS"] = "1"
    one = pl.read_parquet(source).head(1)
    one.write_parquet(folder / "single.parquet")
    start, _ = apart(one_score, name, overrides, folder / "single.parquet", folder / "single", 0, 1, 256, True)
    for kind, reranked in (("reranked", True), ("quick", False)):
        seconds, memory = apart(one_score, name, overrides, source, folder / f"rate-{kind}", 0, 1, 256, reranked)
        print(f"{kind}: {rows / max(seconds - start, 1e-9):.1f} rows a second beside a start of {start:.1f} s, {memory:.0f} MB")
    seconds, memory = apart(one_embed, name, overrides, folder / "embed", 16)
    texts = int(pl.scan_parquet(folder / "embed" / "part-*.parquet").select(pl.len()).collect().item())
    print(f"embed: {texts / seconds:.1f} documents a second, start included ({texts} of them), {memory:.0f} MB")


def one_score(name: str, overrides: list[str], source: Path, out: Path, index: int, shards: int, batch_rows: int, reranked: bool) -> None:
    run = Run.open(load_pipeline(name, overrides=overrides))
    run_shard(ScoreJob(run, find_source(source), reranked=reranked), Shard(index, shards), out, batch_rows=batch_rows)


def one_embed(name: str, overrides: list[str], out: Path, shards: int) -> None:
    run = Run.open(load_pipeline(name, overrides=overrides))
    run_shard(EmbedJob(run, find_source(run.folder("documents") / "documents.parquet")), Shard(0, shards), out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipeline")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--shards", type=int, default=8)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.pipeline:
            scores(Path(folder), given.pipeline, given.overrides, given.rows or 400)
        else:
            protocol(Path(folder), given.rows or 2_000_000, given.users, given.shards)


if __name__ == "__main__":
    main()
