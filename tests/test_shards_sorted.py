"""Sorted files as one: equal to sorting all rows, whatever lies in which file, and in memory that does not grow with them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from score_rag.shards.sorted import group_rows, sorted_batches, sorted_together
from score_rag.shards.source import INPUT_ROW


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=60), st.integers(1, 5), st.integers(1, 9))
def test_files_merge_to_all_their_rows_in_order(owners, files, rows):
    import tempfile
    from pathlib import Path

    frame = pl.DataFrame({INPUT_ROW: np.arange(len(owners)) * 3, "text": [f"row {n}" for n in range(len(owners))]})
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder) / f"{number}.parquet" for number in range(files)]
        for number, place in enumerate(places):
            frame.filter(pl.Series([owner % files == number for owner in owners], dtype=pl.Boolean)).write_parquet(place)
        merged = [frame.clear(), *sorted_batches(places, rows=rows)]
        assert pl.concat(merged).equals(frame)
        sorted_together(places).sink_parquet(Path(folder) / "all.parquet")
        assert pl.read_parquet(Path(folder) / "all.parquet").equals(frame)
        assert sorted_together(places).select("text").head(2).collect().equals(frame.select("text").head(2))


def test_wide_rows_have_small_groups():
    assert group_rows(pl.Schema({INPUT_ROW: pl.Int64(), "probability": pl.Float64()})) == 65_536
    assert group_rows(pl.Schema({INPUT_ROW: pl.Int64(), "vector": pl.Array(pl.Float32(), 384)})) < 11_000


PROGRAM = """
import resource, sys
from pathlib import Path
from score_rag.shards.columns import put_sorted
files = sorted(Path(sys.argv[1]).glob("part*.parquet"))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
put_sorted(Path(sys.argv[1]) / "all.parquet", files)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def test_memory_does_not_grow_with_the_rows(tmp_path):
    more = {}
    for count in (50_000, 250_000):
        (folder := tmp_path / str(count)).mkdir()
        for number in range(2):
            rows = np.arange(number, count, 2)
            vectors = np.random.default_rng(number).standard_normal((len(rows), 256), dtype=np.float32)
            frame = pl.DataFrame({INPUT_ROW: rows, "vector": pl.Series(vectors, dtype=pl.Array(pl.Float32, 256))})
            frame.write_parquet(folder / f"part{number}.parquet", row_group_size=group_rows(frame.schema), compression="uncompressed")
        ran = subprocess.run([sys.executable, "-c", PROGRAM, folder], check=True, capture_output=True, text=True)
        more[count] = int(ran.stdout)
    assert more[250_000] - more[50_000] < 100_000_000, "of 205 MB more of vectors, about as much as of fewer is held"
