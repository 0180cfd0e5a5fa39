"""Every conventional recommender on an explicit data set, beside the averages: `python benchmarks/crm_quality.py --data FOLDER`.

FOLDER has `interactions.csv` (with a column split) and `items.csv`, as the published ML-1M cut. Models learn from train. Valid users are
parted in two halves: the epoch is chosen on one half and the other half is scored, and the other way round, so every valid row is scored by
a model that was chosen without its user. Intervals are by bootstrap over users.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import polars as pl
from rich.console import Console

from score_rag.crm.registry import make_model
from score_rag.data import load
from score_rag.data.interactions import Interactions, event_rows
from score_rag.evaluation.baselines import ITEM_AVERAGE, score_events, trivial_models
from score_rag.evaluation.scorecard import Scorecard

PUBLISHED = {"mf": (0.6482, 0.6361), "lightgcn": (0.5959, 0.6499), "sasrec": (0.7078, 0.6884), "din": (0.7166, 0.6459)}


def halves(data: Interactions, seed: int) -> list[Interactions]:
    """The data twice: one half of the valid users is valid, the other is test."""
    valid = data.events.filter(pl.col("split") == "valid")["user_id"].unique(maintain_order=True)
    order = valid.gather(np.random.default_rng(seed).permutation(len(valid)))
    out = []
    for chosen in (order[: len(order) // 2], order[len(order) // 2 :]):
        held = (pl.col("split") == "valid") & ~pl.col("user_id").is_in(chosen.implode())
        split = pl.when(held).then(pl.lit("test", dtype=data.events.schema["split"])).otherwise(pl.col("split"))
        out.append(Interactions(data.events.with_columns(split=split), data.items))
    return out


def cross_fitted(kind: str, history: str, parts: list[Interactions], settings: dict, fitting: dict) -> tuple[np.ndarray, dict]:
    """Scores of all valid rows, in the order of `parts[0]`'s and `parts[1]`'s test rows; what was chosen."""
    scores, told = [], {}
    for number, part in enumerate(parts):
        model = make_model(kind, history=history, **settings)
        model.fit(part, **fitting)
        scores.append(model.score_events(list(part.rows("test"))))
        told[number] = {name: value for name, value in model.metrics.items() if name in ("epoch", "valid_auc")}
    return np.concatenate(scores), told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--models", nargs="+", default=["sasrec", "lightgcn", "din", "mf", "item-knn", "ease"])
    parser.add_argument("--history", nargs="+", default=["all", "positives"])
    parser.add_argument("--set", nargs="*", default=[], help="settings of all models, e.g. dim=64")
    parser.add_argument("--fit", nargs="*", default=[], help="settings of their training, e.g. weight_decay=0.1")
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--average", type=int, default=1, help="trainings whose scores are averaged")
    given = parser.parse_args()
    settings, fitting = (
        {name: json.loads(value) for name, value in (word.split("=") for word in words)} for words in (given.set, given.fit)
    )
    data, _ = load("table", given.data, split="column")
    parts = halves(data, given.seed)
    rows = pl.concat([part.events.filter(pl.col("split") == "test") for part in parts])
    for history in given.history:
        scores: dict[str, np.ndarray] = {}
        for kind in given.models:
            started = time.perf_counter()
            learned = kind in PUBLISHED
            found = []
            for seed in range(given.seed, given.seed + (given.average if learned else 1)):
                values, told = cross_fitted(kind, history, parts, settings, fitting | ({"seed": seed} if learned else {}))
                found.append(values)
            aim = "published (test) {:.4f} / {:.4f}".format(*PUBLISHED[kind]) if learned else ""
            print(f"{history} {kind}: {time.perf_counter() - started:.0f} s, {told} {aim}", flush=True)
            scores[kind] = np.mean(found, axis=0)
        scores |= {name: score_events(model, rows) for name, model in trivial_models(data).items()}
        assert [event.item_id for event in event_rows(rows)] == [e.item_id for part in parts for e in part.rows("test")]
        card = Scorecard.from_scores(rows, scores, reference=ITEM_AVERAGE, resamples=1000, title=f"{given.data}: valid, history: {history}")
        Console(width=120).print(card.to_table())


if __name__ == "__main__":
    main()
