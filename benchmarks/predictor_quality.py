"""The predictor beside its recommenders, on all validation rows.

    score-rag run ml-1m-collm --set data.path=FOLDER --until reranker
    python benchmarks/predictor_quality.py ml-1m-collm --set data.path=FOLDER [--no-rerank]

Fits the predictor of a run whose earlier stages are finished into a temporary folder and prints AUC and UAUC of everything that the guard
compares, each with the 95 % interval of the predictor's gain (paired over users), and NDCG@10 of both orders of the recommender's
candidates. `--no-rerank` keeps the most similar judges instead of those that the reranker keeps: it saves ten pairs of a cross-encoder a
question, which is most of the time where there is no GPU. Epoch and calibration are chosen on the same rows; so are the recommenders'.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.fit_predictor import fit_from_run
from score_rag.pipeline.run import Run
from score_rag.pipeline.state import finished_folder
from score_rag.prompts import find_prompt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pipeline")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--no-rerank", action="store_true")
    given = parser.parse_args()
    pipeline = load_pipeline(given.pipeline, overrides=["predictor.valid_examples=1000000", *given.overrides])
    for stage in ("data", "crm", "documents", "retriever", *(() if given.no_rerank else ("reranker",))):
        finished_folder(pipeline, stage)
    run = Run.open(pipeline, predict_prompt=find_prompt(pipeline.predictor.prompt))
    if given.no_rerank:
        run.__dict__["finder"] = run.__dict__["bulk_finder"] = run.make_finder(None)
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        metrics = fit_from_run(run, Path(folder))
    guard = metrics.pop("guard")
    print(json.dumps(metrics, indent=1, default=str))
    for row in guard["rows"]:
        gains = " ".join(f"{gain[0]:+.4f} to {gain[1]:+.4f}" if gain else "-" for gain in (row["auc_gain"], row["uauc_gain"]))
        print(f"{row['name']:<28} AUC {row['auc']:.4f}  UAUC {row['uauc']:.4f}  log-loss {row['log_loss']:.4f}  gain {gains}")
    print(
        f"NDCG@10 (predictor, recommender): {guard['ndcg']}; route: {guard['route']}; CPU minutes: {(time.process_time() - began) / 60:.1f}"
    )


if __name__ == "__main__":
    main()
