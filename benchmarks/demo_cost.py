"""What `make demo` costs, in units of this machine: a unit embeds 1,000 of the sample's documents in float32.

    python benchmarks/demo_cost.py [--set ...] [--keep FOLDER]

Runs the sample's pipeline from nothing into a temporary folder, or into an empty one that is kept, and prints each stage's wall time over
the unit's, which is measured before and after in the same process, and the largest memory. Run it alone on the machine.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import polars as pl

from score_rag.encoders.encoder import TextEncoder
from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.runner import run
from score_rag.pipeline.stages import stages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as aside:
        folder = given.keep or Path(aside)
        pipeline = load_pipeline("sample", overrides=[*given.overrides, f"runs={folder}"])
        done = run(pipeline, stages(pipeline), until="documents")
        texts = pl.read_parquet(folder / "sample" / "documents" / "documents.parquet")["text"].unique(maintain_order=True).to_list()
        encoder = TextEncoder.untrained(max_tokens=pipeline.retriever.max_tokens)
        encoder.encode(texts[:32])

        def unit() -> float:
            began = time.perf_counter()
            encoder.encode(texts[:1000])
            return (time.perf_counter() - began) * 1000 / min(1000, len(texts))

        before = unit()
        done += [status for status in run(pipeline, stages(pipeline)) if status.action == "ran"]
        after = unit()
    one = (before + after) / 2
    for status in done:
        print(f"{status.name:<10} {(status.seconds or 0) / one:6.2f} units")
    print(f"{'together':<10} {sum(status.seconds or 0 for status in done) / one:6.2f} units; before / after: {before / after:.2f}")
    print(f"largest memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
