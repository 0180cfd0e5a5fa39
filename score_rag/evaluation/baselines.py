"""The baselines of every table: non-learned ones, and every conventional recommender on the same events.

Learned ones are fitted twice (DIN, which only judges, once), because judging ("will they like it?") and ranking ("what will they like
next?") are two questions and a model that is good at one may be poor at the other: by the loss `bce`, chosen by AUC, and by the loss
`softmax`, chosen by NDCG@10.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from score_rag.data.interactions import Interactions, event_rows
from score_rag.files import digest_json, make_once, read_json
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.state import finished_folder, run_folder
from score_rag.progress import Report, silent

if TYPE_CHECKING:
    from score_rag.crm.interface import CollaborativeModel
    from score_rag.metrics.ranking import Ranked

__all__ = ["ITEM_AVERAGE", "Baseline", "baselines", "fit_baselines", "ranked", "score_events", "trivial_models"]

ITEM_AVERAGE = "item's like-rate in train"
_BLOCK = 1024


@dataclass(frozen=True)
class Baseline:
    """One row of the table: a recommender and how it is made.

    Attributes:
        name: As printed.
        folder: Name of its folder in the run.
        kind: A key of `score_rag.crm.registry.MODELS`.
        settings: Of the recommender.
        fitting: Of its `fit`, without the seed.
    """

    name: str
    folder: str
    kind: str
    settings: Mapping[str, Any]
    fitting: Mapping[str, Any]


def baselines(pipeline: Pipeline, items: int) -> tuple[list[Baseline], list[str]]:
    """(All of them, why some are not there).

    The pipeline's `crm` section says their width, layers and training; batch and learning rate are each model's own, except for the model
    that the section is about. DIN judges only.

    Args:
        items: How many items have training events: EASE solves a dense matrix of them.
    """
    from score_rag.crm.item_item import MOST_ITEMS
    from score_rag.crm.registry import settings_of

    crm = pipeline.crm
    shared = crm.model_dump()
    # The section may be about a model without heads; those of others must divide the width.
    shared["heads"] = crm.heads if crm.dim % crm.heads == 0 else 1
    out = []
    for kind, name in (("sasrec", "SASRec"), ("lightgcn", "LightGCN"), ("din", "DIN"), ("mf", "MF")):
        own = {} if kind == crm.model else {"batch_size": None, "learning_rate": None}
        for loss, choose_by, told in (("bce", "auc", ""), ("softmax", "ndcg", ", to rank")):
            if kind != "din" or loss == "bce":
                settings = {name: value for name, value in (shared | {"loss": loss}).items() if name in settings_of(kind)}
                out.append(Baseline(name + told, f"{kind}-{loss}", kind, settings, {**crm.training(), **own, "choose_by": choose_by}))
    out.append(Baseline("item-kNN", "item-knn", "item-knn", {}, {}))
    if items > MOST_ITEMS:
        return out, [f"without EASE: {items:,} items have training events, it takes at most {MOST_ITEMS:,}"]
    return [*out, Baseline("EASE", "ease", "ease", {}, {})], []


def trivial_models(interactions: Interactions) -> dict[str, CollaborativeModel]:
    """Non-learned baselines (METHOD, section 2), smoothed by five counts of the mean."""
    from score_rag.crm.baseline import LikeRate, Popularity

    return {
        ITEM_AVERAGE: LikeRate().fit(interactions),
        "+ user's like-rate in train": LikeRate(user="train").fit(interactions),
        "+ user's like-rate so far": LikeRate(user="earlier").fit(interactions),
        "popularity": Popularity().fit(interactions),
    }


def score_events(
    model: CollaborativeModel, rows: pl.DataFrame, *, report: Report = silent, doing: str = "asking a recommender"
) -> np.ndarray:
    """A recommender's scores of rows of the events frame, float64 [rows], each from strictly earlier events of its log."""
    events = list(event_rows(rows))
    out = [np.zeros(0)]
    for start in range(0, len(events), _BLOCK):
        out.append(model.score_events(events[start : start + _BLOCK]).astype(np.float64))
        report(doing, min(start + _BLOCK, len(events)), len(events))
    return np.concatenate(out)


def ranked(
    models: Mapping[str, CollaborativeModel], interactions: Interactions, split: str, *, report: Report = silent
) -> dict[str, Ranked]:
    """NDCG@10 and Recall@10 of full ranking (no candidate is sampled) over the users who liked something new in `split`, by name."""
    from score_rag.crm.ranking import RankingTask

    task = RankingTask(interactions, split)
    out = {}
    for done, (name, model) in enumerate(models.items(), start=1):
        out[name] = task.rank(model)
        report("ranking the catalogue", done, len(models))
    return out


def fit_baselines(
    pipeline: Pipeline, interactions: Interactions, *, report: Report = silent
) -> tuple[dict[str, CollaborativeModel], list[str]]:
    """(Every baseline by name, why some are not there); fitted now, or read from the run's folder where it was fitted on the same data by
    the same settings. One that was killed while training goes on.

    Raises:
        StageError: The data stage is not finished.
        LockedError: Something else writes to this run's folder.
    """
    from score_rag.crm.registry import make_model, read_model

    data = read_json(finished_folder(pipeline, "data") / "finished.json")["key"]
    warm = interactions.learned["item_id"].n_unique()
    plan, notes = baselines(pipeline, warm)
    owner, history = run_folder(pipeline), pipeline.data.history
    out: dict[str, CollaborativeModel] = {}
    for done, one in enumerate(plan, start=1):
        checkpoint = owner / "scratch" / "baselines" / one.folder

        def make(aside: Path, one: Baseline = one, checkpoint: Path = checkpoint) -> dict[str, Any]:
            model: Any = make_model(one.kind, **one.settings, history=history)
            training = {**one.fitting, "seed": pipeline.seed, "checkpoint": checkpoint} if one.fitting else {}
            model.fit(interactions, **training, report=_named(report, one.name))
            model.save_pretrained(aside)
            return dict(model.metrics)

        folder = owner / "baselines" / one.folder
        belongs = digest_json([data, one.kind, one.settings, one.fitting, history, pipeline.seed])
        make_once(folder, belongs=belongs, owner=owner, doing=f"fitting the baseline {one.name}", make=make)
        shutil.rmtree(checkpoint, ignore_errors=True)
        out[one.name] = read_model(folder).bind(interactions.log)
        report("fitting baselines", done, len(plan))
    return out, notes


def _named(report: Report, name: str) -> Report:
    """A bar that says whose training it shows."""

    def told(what: str, done: int, total: int) -> None:
        report(f"{what}: {name}", done, total)

    return told
