"""25 million ratings of 60 thousand items: read, filtered (k-core, threshold), split and written, against a bare `scan_csv().collect()`.

    python benchmarks/data_scale.py                    # makes the file in a temporary folder; --rows for another size

Prints the ratio of the two times (aim: at most 4), the ratio to the least that any such reader does in Polars (ids as categories, sorted by
time, written), and the peak memory (must be at most 5 GB). Times are of the processor, all cores together.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

USERS, ITEMS = 162_541, 60_000

BARE = "pl.scan_csv(folder / 'ratings.csv').collect()"
LEAST = """
schema = {{'userId': pl.Categorical(), 'movieId': pl.Categorical(), 'rating': pl.Float64(), 'timestamp': pl.Int64()}}
read = pl.scan_csv(folder / 'ratings.csv', schema=schema, has_header=False, skip_lines=1)
read.sort('timestamp', maintain_order=True).collect(engine='streaming').write_parquet(folder / 'least.parquet')
"""
OURS = """
interactions, report = load('movielens', folder, k_core=20, threshold=4.0, split='quantiles')
interactions.write(folder / 'out')
assert sum(report.kept.values()) + sum(report.dropped.values()) == report.rows_read == {rows}
"""
PROGRAM = """
import resource, sys, time
from pathlib import Path
import polars as pl
from score_rag.data import load
folder = Path(sys.argv[1])
started = time.process_time()
{work}
print(time.process_time() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
"""


def make(folder: Path, rows: int) -> None:
    """Ratings grouped by user, times at random, items of skewed popularity."""
    generator = np.random.default_rng(0)
    users = np.sort(generator.integers(1, USERS + 1, rows))
    items = (ITEMS * generator.random(rows) ** 2).astype(np.int64) + 1
    ratings = generator.integers(1, 11, rows) / 2
    times = generator.integers(789_652_009, 1_574_327_703, rows)
    frame = pl.DataFrame({"userId": users, "movieId": items, "rating": ratings, "timestamp": times})
    frame.write_csv(folder / "ratings.csv")
    ids = np.arange(1, ITEMS + 1)
    titles = [f"Film {number}, The ({1950 + number % 70})" for number in ids]
    pl.DataFrame({"movieId": ids, "title": titles, "genres": ["Drama|Crime"] * ITEMS}).write_csv(folder / "movies.csv")


def measure(work: str, folder: Path) -> tuple[float, float]:
    """(seconds, GB at the peak) in a fresh process."""
    told = subprocess.run([sys.executable, "-c", PROGRAM.format(work=work), folder], check=True, capture_output=True, text=True)
    seconds, memory = map(float, told.stdout.split()[-2:])
    return seconds, memory


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=25_000_000)
    rows = options.parse_args().rows
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, rows)
        bare, least = (min(measure(work.format(), folder)[0] for _ in range(3)) for work in (BARE, LEAST))
        runs = [measure(OURS.format(rows=rows), folder) for _ in range(3)]
    seconds, memory = min(run[0] for run in runs), max(run[1] for run in runs)
    print(f"{rows:,} rows: load, filter, split, write / bare scan_csv().collect(): {seconds / bare:.1f} (aim: at most 4)")
    print(f"the same / ids as categories, sorted, written: {seconds / least:.1f}")
    print(f"peak memory: {memory:.1f} GB (must be at most 5)")


if __name__ == "__main__":
    main()
