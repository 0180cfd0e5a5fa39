"""What Ray costs beside the shell's loop, on the same shards, one at a time on one machine.

    python benchmarks/ray_shards.py --pipeline sample [--rows 400] [--shards 4] [--repeats 3] [--set ...]

Each way is a command of its own, `score --quick`: `score-rag` once a shard in turn, and `--engine ray` with one actor on a Ray of its own.
Printed is the time of Ray over that of the loop of the same repeat, start and end included, and whether all parts are equal, byte by byte.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl

from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.run import Run


def score(name: str, overrides: list[str], source: Path, out: Path, *more: str) -> None:
    words = [sys.executable, "-m", "score_rag.cli", "score", name, "--input", str(source), "--output", str(out), "--quick", *more]
    subprocess.run([*words, *(word for one in overrides for word in ("--set", one))], check=True, stdout=subprocess.DEVNULL, env=os.environ)


def parts(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.glob("part-*.parquet")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipeline", required=True)
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ.pop("RAY_ADDRESS", None)
    run = Run.open(load_pipeline(given.pipeline, overrides=given.overrides))
    chance = random.Random(0)
    users, items = sorted(run.histories.log.users), sorted(run.histories.catalogue)
    pairs = [(user, item) for user in chance.sample(users, min(len(users), -(-given.rows // 10))) for item in chance.sample(items, 10)]
    with tempfile.TemporaryDirectory() as aside:
        folder = Path(aside)
        source = folder / "in.parquet"
        pl.DataFrame(pairs[: given.rows], schema=["user_id", "item_id"], orient="row").write_parquet(source)
        for repeat in range(given.repeats):
            loop, ray = folder / f"loop-{repeat}", folder / f"ray-{repeat}"
            started = time.perf_counter()
            for index in range(given.shards):
                score(given.pipeline, given.overrides, source, loop, "--shard", f"{index}/{given.shards}")
            middle = time.perf_counter()
            # As many cores an actor that there is room for one.
            one = str(max(1, (os.cpu_count() or 1) - 1))
            score(given.pipeline, given.overrides, source, ray, "--engine", "ray", "--shards", str(given.shards), "--cpus-per-shard", one)
            end = time.perf_counter()
            told = f"loop {middle - started:.1f} s, Ray {end - middle:.1f} s, ratio {(end - middle) / (middle - started):.2f}"
            print(f"{given.shards} shards of {len(pairs[: given.rows])} rows: {told}; equal: {parts(loop) == parts(ray)}")


if __name__ == "__main__":
    main()
