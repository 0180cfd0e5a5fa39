"""How well SARE learns, and what it costs, by number of questions and epochs; beside the first of them.

    python benchmarks/reranker_pairs.py sample [--try pairs=240,epochs=2 --try pairs=600,epochs=1 ...]

Needs a run whose retriever is finished. Trains a reranker for each choice into a temporary folder. Prints the mean reciprocal rank of the
best behaviour on the questions that are only reported, with the 95 % interval, what a random order has there, and CPU seconds relative to
the first choice's (the assessments of the bundled rules are among them).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.run import Run
from score_rag.prompts import find_prompt
from score_rag.reranker.fit import fit_reranker
from score_rag.reranker.pair_texts import PairTexts

CHOICES = ("pairs=240,epochs=2", "pairs=600,epochs=1", "pairs=600,epochs=2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pipeline")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--try", action="append", default=[], dest="choices")
    given = parser.parse_args()
    run = Run.open(load_pipeline(given.pipeline, overrides=given.overrides), stages=("retriever",))
    first = None
    for choice in given.choices or CHOICES:
        changes = {name: yaml.safe_load(value) for name, value in (part.split("=") for part in choice.split(","))}
        with tempfile.TemporaryDirectory() as aside:
            began = time.process_time()
            found = train(run, changes, Path(aside))
            seconds = time.process_time() - began
        first = first or seconds
        told = f"{found['questions']} trained on, {found['held_out_reported']} reported"
        told += f": MRR {found['mrr_after']:.3f} ± {found['mrr_margin']:.3f}"
        print(f"{choice:<40} {told}, random {found['mrr_random']:.3f}; {seconds / first:.2f} of the first's CPU time", flush=True)


def train(run: Run, changes: dict[str, object], folder: Path) -> dict[str, float]:
    """A reranker by assessments; its metrics."""
    finder, pipeline = run.make_finder(None), run.pipeline

    def hits_for(requests: Sequence) -> list:
        return [found[: finder.similarity_top_k] for found in finder.retrieve(finder.questions([one.event for one in requests]))]

    (folder / "reranker").mkdir()
    return fit_reranker(
        finder.interactions,
        hits_for,
        folder / "reranker",
        pipeline.reranker.changed(supervision="assessment", **changes),
        prompt=find_prompt(pipeline.reranker.assess_prompt),
        texts=PairTexts.shipped(pipeline.reranker.question_prompt, pipeline.reranker.behaviour_prompt),
        describer=finder.describer,
        assessments_path=folder / "assessments.jsonl",
        history=pipeline.data.history,
        seed=pipeline.seed,
    )


if __name__ == "__main__":
    main()
