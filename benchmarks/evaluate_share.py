"""How much of `evaluate` is the models' work, and what other ways to rerank would cost.

    score-rag run sample
    python benchmarks/evaluate_share.py sample [--set ...] [--rows 300] [--pairs 200]

First: the run is evaluated on so many rows, and every second inside a model (encoder, reranker, predictor, conventional recommenders) is
taken apart from the rest (tokenizing, retrieval, prompts, tables). Then the reranker scores the same pairs of questions and behaviours by
onnxruntime in float32, one by one and in batches of like length, by torch in float32, and by torch in bfloat16: time as a ratio to the
batches that `evaluate` uses, the largest difference of a logit, and in how many questions another pair would come first. Work is
processor time of all threads.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from score_rag.data.interactions import event_rows
from score_rag.evaluation.evaluate import evaluate_run
from score_rag.evaluation.rows import choose_rows
from score_rag.inference.onnx import OnnxModel
from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.run import Run
from score_rag.predictor.engines import torch as torch_engine
from score_rag.reranker.torch_scorer import BulkScorer


class Shares:
    """Processor time inside wrapped functions; time in one that another one calls is the outer one's."""

    def __init__(self) -> None:
        self.work: dict[str, float] = {}
        self._inside = False

    def wrap(self, owner: Any, name: str, called: Callable[..., str]) -> None:
        kept = getattr(owner, name)

        def timed(*args: Any, **options: Any) -> Any:
            if self._inside:
                return kept(*args, **options)
            self._inside = True
            start = time.process_time()
            try:
                return kept(*args, **options)
            finally:
                self._inside = False
                label = called(*args)
                self.work[label] = self.work.get(label, 0.0) + time.process_time() - start

        setattr(owner, name, timed)


def main() -> None:
    given = arguments()
    pipeline = load_pipeline(given.pipeline, overrides=given.overrides)
    run = Run.open(pipeline)
    rerank(run, given.pairs)
    shares = Shares()
    shares.wrap(OnnxModel, "run", lambda model, *_: model.path.parent.parent.name + "/" + model.path.parent.name)
    shares.wrap(torch_engine, "score_tokens", lambda *_: "predictor")
    for model in {type(one) for one in (run.crm, *run.experts.values())}:
        for name in ("score_places", "score_events"):
            shares.wrap(model, name, lambda *_: "recommenders")
    start = time.process_time()
    evaluate_run(pipeline, split="test", rows=given.rows)
    whole = time.process_time() - start
    for name, seconds in sorted(shares.work.items(), key=lambda one: -one[1]):
        print(f"{name:<24} {seconds:7.2f} s  {seconds / whole:6.1%}")
    rest = whole - sum(shares.work.values())
    print(f"{'all else':<24} {rest:7.2f} s  {rest / whole:6.1%}  of {whole:.1f} s, {given.rows} rows")


def rerank(run: Run, most: int) -> None:
    """The same pairs, scored in each way."""
    events = list(event_rows(choose_rows(run.interactions, "test", max(1, most // run.pipeline.retriever.similarity_top_k), seed=1)))
    seen: list[tuple[list[str], list[str]]] = []
    scorer = run.scorer

    class Kept:
        texts = scorer.texts

        def score_pairs(self, queries: list[str], behaviours: list[str], **_: Any) -> np.ndarray:
            seen.append((queries, behaviours))
            return np.zeros(len(queries), dtype=np.float32)

    questions = run.finder.questions(events)
    run.make_finder(Kept()).find(questions)
    queries, behaviours = (part[:most] for part in seen[0])

    def alone(queries: list[str], behaviours: list[str]) -> np.ndarray:
        return np.concatenate([scorer.score_pairs([q], [b]) for q, b in zip(queries, behaviours, strict=True)])

    ways: dict[str, Callable[..., np.ndarray]] = {"onnx float32, batches": scorer.score_pairs, "onnx float32, one by one": alone}
    for dtype in ("float32", "bfloat16"):
        ways[f"torch {dtype}, batches"] = BulkScorer(scorer.folder, max_tokens=scorer.max_tokens, dtype=dtype).score_pairs
    base, unit = None, 1.0
    group = np.array([hash(query) for query in queries])
    for name, way in ways.items():
        way(queries[:8], behaviours[:8])
        start = time.process_time()
        found = way(queries, behaviours)
        work = time.process_time() - start
        if base is None:
            base, unit = found, work
        other = np.mean([found[group == one].argmax() != base[group == one].argmax() for one in set(group.tolist())])
        print(
            f"{name:<26} {work / len(queries) * 1000:6.2f} ms a pair  {work / unit:5.2f} x  "
            f"largest difference {np.abs(found - base).max():.1e}  another first in {other:.1%} of {len(set(group.tolist()))} questions"
        )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pipeline")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--pairs", type=int, default=200)
    return parser.parse_args()


if __name__ == "__main__":
    main()
