"""NDCG@10 and Recall@10 of full ranking, all recommenders, beside RecTools' SASRec: `python benchmarks/full_ranking.py --data FOLDER`.

FOLDER is MovieLens in any published form. The literature's protocol for SASRec: every rating counts as taken, each user's last item is
test, the one before it valid, all others train; what a user had already is no candidate, everything else is. Epochs are chosen on valid.

RecTools (MobileTeleSystems) lives in an environment of its own, which is made where it is missing (`--rectools FOLDER`): it needs older
numpy and pandas. Both SASRecs get the same rows, width, blocks, heads, window and two cores; `--theirs` gives theirs other settings.
Seconds are of training until valid NDCG reaches .98 of theirs at its best: theirs without validating, ours validating included.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import torch
from rich.console import Console
from rich.table import Table

from score_rag.crm.baseline import Popularity
from score_rag.crm.ranking import RankingTask
from score_rag.crm.registry import make_model
from score_rag.data import load
from score_rag.data.interactions import Interactions
from score_rag.metrics.ranking import Ranked, ndcg_and_recall

THREADS = 2
THEIRS = {"n_factors": 64, "n_blocks": 2, "n_heads": 2, "session_max_len": 100, "epochs": 50, "batch_size": 128, "lr": 3e-3}
LEARNED = {
    "sasrec": ({"dim": 64, "layers": 2, "heads": 2, "max_length": 100}, {"patience": 6}),
    "lightgcn": ({"dim": 64, "layers": 2}, {"patience": 6}),
    "mf": ({"dim": 64}, {"patience": 6}),
}


def rectools_python(folder: Path) -> Path:
    """The interpreter of an environment with RecTools; made where it is missing."""
    python = folder / "bin" / "python"
    if not python.is_file():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "torch==2.13.0", "rectools[torch]==0.19.0"], check=True)
    return python


def theirs(data: Interactions, python: Path, scratch: Path, settings: dict) -> dict:
    """Their SASRec on the same rows: seconds and valid NDCG of each epoch, the test top-10 of the best."""
    scratch.mkdir(parents=True, exist_ok=True)
    rows = data.events.select("user_id", "item_id", "timestamp", "event", "split")
    rows.cast({"user_id": pl.String(), "item_id": pl.String(), "split": pl.String()}).write_csv(scratch / "rows.csv")
    (scratch / "settings.json").write_text(json.dumps(settings))
    script = Path(__file__).with_name("full_ranking_rectools.py")
    subprocess.run([python, script, scratch], check=True, env={**os.environ, "TQDM_DISABLE": "1", "OMP_NUM_THREADS": str(THREADS)})
    return json.loads((scratch / "result.json").read_text())


def ours(kind: str, data: Interactions, seed: int, task: RankingTask, *, epochs: int) -> tuple[Ranked, list[float], list[float]]:
    """(test ranking, seconds at the end of each epoch, valid NDCG of each)."""
    settings, fitting = LEARNED[kind]
    seconds: list[float] = []
    started = time.perf_counter()

    def report(what: str, done: int, total: int) -> None:
        seconds.append(time.perf_counter() - started)

    model = make_model(kind, **settings, loss="softmax", history="positives")
    model.fit(data, **fitting, epochs=epochs, choose_by="ndcg", seed=seed, report=report)  # type: ignore[call-arg]
    return task.rank(model), seconds, model.metrics["valid_ndcg_by_epoch"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--models", nargs="*", default=[*LEARNED, "item-knn", "ease"])
    parser.add_argument("--rectools", type=Path, default=Path("runs/rectools"), help="where their environment is or shall be")
    parser.add_argument("--theirs", nargs="*", default=[], help="settings of theirs, e.g. n_factors=256")
    parser.add_argument("--epochs", type=int, default=60, help="of ours, at most")
    parser.add_argument("--seed", type=int, default=17)
    given = parser.parse_args()
    torch.set_num_threads(THREADS)
    # Within a second, and MovieLens has many judgements in one, both read the file's order: theirs knows no other way.
    data, _ = load("movielens", given.data, threshold=0.0, split="leave-last-out", ties="file-order")
    task = RankingTask(data, "test")
    rows: dict[str, tuple[Ranked, str]] = {"popularity": (task.rank(Popularity().fit(data)), "")}
    told = theirs(data, rectools_python(given.rectools), given.rectools / "scratch", THEIRS | dict(_settings(given.theirs)))
    places = {item_id: place for place, item_id in enumerate(data.catalogue)}
    tops = [np.array([places[item] for item in told["top"].get(asked.user_id, [])], dtype=np.int64) for asked in task.asked]
    enough = 0.98 * max(told["valid_ndcg"])
    theirs_at = next(at for at, value in zip(told["seconds"], told["valid_ndcg"], strict=True) if value >= enough)
    rows["SASRec of RecTools"] = (ndcg_and_recall(tops, task.relevant, 10), f"{theirs_at:.1f}")
    epochs = len(told["seconds"])
    print(f"RecTools: {epochs} epochs of {told['seconds'][-1] / epochs:.1f} s, the best is {told['best'] + 1}", flush=True)
    for kind in given.models:
        if kind in LEARNED:
            found, seconds, valid = ours(kind, data, given.seed, task, epochs=given.epochs)
            at = next((at for at, value in zip(seconds, valid, strict=False) if value >= enough), float("inf"))
            took = f"{at:.1f}" if at < float("inf") else "never"
            if kind == "sasrec":
                ratio = at / theirs_at
                quality = found.ndcg.mean() / rows["SASRec of RecTools"][0].ndcg.mean()
                recall = found.recall.mean() / rows["SASRec of RecTools"][0].recall.mean()
        else:
            found, took = task.rank(make_model(kind, history="positives").fit(data)), ""
        rows[kind] = (found, took)
        print(f"{kind}: NDCG@10 {rows[kind][0].ndcg.mean():.4f}", flush=True)
    table = Table(title=f"{given.data}: test, full ranking, {len(task):,} users, {task.items:,} items", title_justify="left")
    for column in ("recommender", "NDCG@10", "± (standard error)", "Recall@10", "s to .98 of RecTools' valid NDCG"):
        table.add_column(column, justify="left" if column == "recommender" else "right")
    for name, (found, took) in rows.items():
        error = found.ndcg.std() / np.sqrt(len(found.ndcg))
        table.add_row(name, f"{found.ndcg.mean():.4f}", f"{error:.4f}", f"{found.recall.mean():.4f}", took)
    Console(width=120).print(table)
    if "sasrec" in rows:
        print(f"SASRec, ours / RecTools: NDCG@10 {quality:.3f}, Recall@10 {recall:.3f} (aim: .98 or more)")
        print(f"seconds, ours / RecTools: {ratio:.2f} (aim: .7 or less)")


def _settings(words: list[str]) -> list[tuple[str, object]]:
    return [(name, json.loads(value)) for name, value in (word.split("=") for word in words)]


if __name__ == "__main__":
    main()
