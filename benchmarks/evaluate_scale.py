"""Time and memory of `score-rag evaluate FILE` on many scored rows, beside one Polars sort and one group-by of the same rows.

python benchmarks/evaluate_scale.py --rows 10000000
python benchmarks/evaluate_scale.py --rows 10000000 --parts     # with activity and popularity: six parts more
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl


def main() -> None:
    """Write rows, then measure each way in a process of its own: peak memory is of it alone."""
    given = arguments()
    if given.inside:
        print(*measured(given.inside, given.file))
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "predictions.parquet"
        made_rows(given.rows, given.users, parts=given.parts).write_parquet(file)
        print(f"{given.rows:,} rows of {given.users:,} users, {file.stat().st_size / 2**20:.0f} MiB of Parquet")
        floor = None
        for way in ("floor", "evaluate"):
            words = [sys.executable, __file__, "--inside", way, "--file", str(file)]
            seconds, work, peak = map(float, subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()[-3:])
            floor = floor or work
            print(f"{way:<9} {seconds:6.1f} s on the clock, {work:6.1f} s of work: {work / floor:5.2f} x floor; {peak:.2f} GB at most")


def made_rows(rows: int, users: int, *, parts: bool) -> pl.DataFrame:
    """Random users of unequal activity, labels, and probabilities that order them at an AUC of about .76."""
    generator = np.random.default_rng(0)
    user = (users * generator.random(rows) ** 2).astype(np.int64)
    label = generator.integers(0, 2, rows, dtype=np.int8)
    score = 1 / (1 + np.exp(-(generator.normal(size=rows) + label - 0.5)))
    frame = pl.DataFrame({"user_id": user, "label": label, "system": score})
    facts = {"user_events": generator.integers(0, 200, rows), "item_events": generator.integers(0, 900, rows)}
    return frame.with_columns(**{name: pl.Series(values) for name, values in facts.items()}) if parts else frame


def measured(way: str, file: Path) -> tuple[float, float, float]:
    """(seconds, seconds of all cores together, peak memory in GB) of one way."""
    from score_rag.evaluation.evaluate_file import evaluate_file

    used = resource.getrusage(resource.RUSAGE_SELF)
    start, spent = time.perf_counter(), used.ru_utime + used.ru_stime
    if way == "evaluate":
        evaluate_file(file)
    else:
        frame = pl.read_parquet(file)
        frame.sort("system")
        frame.group_by("user_id").agg(pl.col("label").mean(), pl.col("system").mean())
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter() - start, used.ru_utime + used.ru_stime - spent, used.ru_maxrss * 1024 / 1e9


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--parts", action="store_true", help="add the columns by which rows are reported in parts")
    parser.add_argument("--inside", choices=["floor", "evaluate"], help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
