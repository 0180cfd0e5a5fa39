"""The yardsticks of every table: the rows without learning, and every conventional recommender on the same events.

Learned ones are fitted twice, because judging ("will they like it?") and ranking ("what will they like next?") are two questions and a
model that is good at one may be poor at the other: by the loss `bce`, chosen by AUC, and by the loss `softmax`, chosen by NDCG@10.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from score_rag.config import Pipeline
from score_rag.data.interactions import Interactions, event_rows
from score_rag.files import digest_json, folder_lock, read_json, staged_folder, write_json
from score_rag.pipeline import finished_folder, run_folder
from score_rag.progress import Report, silent

if TYPE_CHECKING:
    from score_rag.crm.ranking import Ranked
    from score_rag.crm.recommender import Recommender

__all__ = ["ITEM_AVERAGE", "Baseline", "baselines", "fit_baselines", "ranked", "score_events", "trivial_models", "trivial_scores"]

ITEM_AVERAGE = "item's like-rate in train"
_BLOCK = 1024


@dataclass(frozen=True)
class Baseline:
    """One row of the table: a recommender and how it is made.

    Attributes:
        name: As printed.
        folder: Name of its folder in the run.
        kind: A key of `score_rag.crm.models.MODELS`.
        settings: Of the recommender.
        fitting: Of its `fit`, without the seed.
    """

    name: str
    folder: str
    kind: str
    settings: Mapping[str, Any]
    fitting: Mapping[str, Any]


def baselines(pipeline: Pipeline) -> list[Baseline]:
    """All of them. The pipeline's `crm` section says their width, layers and training; batch and learning rate are each model's own,
    except for the model that the section is about."""
    crm = pipeline.crm
    shared = crm.model_dump(exclude={"model", "loss"})
    out = []
    for kind, name in (("sasrec", "SASRec"), ("lightgcn", "LightGCN"), ("din", "DIN"), ("mf", "MF")):
        own = {} if kind == crm.model else {"batch_size": None, "learning_rate": None}
        for loss, choose_by, told in (("bce", "auc", ""), ("softmax", "ndcg", ", to rank")):
            if kind != "din" or loss == "bce":
                fitting = {**crm.training(), **own, "choose_by": choose_by}
                out.append(Baseline(name + told, f"{kind}-{loss}", kind, {**shared, "loss": loss}, fitting))
    out += [Baseline("item-kNN", "item-knn", "item-knn", {}, {}), Baseline("EASE", "ease", "ease", {}, {})]
    return out


def trivial_models(interactions: Interactions) -> dict[str, Recommender]:
    """The rows that need no learning (METHOD, section 2), smoothed by five counts of the mean."""
    from score_rag.crm.averages import LikeRate, Popularity

    return {
        ITEM_AVERAGE: LikeRate().fit(interactions),
        "+ user's like-rate in train": LikeRate(user="train").fit(interactions),
        "+ user's like-rate so far": LikeRate(user="earlier").fit(interactions),
        "popularity": Popularity().fit(interactions),
    }


def trivial_scores(interactions: Interactions, rows: pl.DataFrame) -> dict[str, np.ndarray]:
    """Scores of `trivial_models` for rows of the events frame, float64 [rows], by name."""
    return {name: score_events(model, rows) for name, model in trivial_models(interactions).items()}


def score_events(model: Recommender, rows: pl.DataFrame, *, report: Report = silent, doing: str = "asking a recommender") -> np.ndarray:
    """A recommender's scores of rows of the events frame, float64 [rows], each from strictly earlier events of its log."""
    events = list(event_rows(rows))
    out = [np.zeros(0)]
    for start in range(0, len(events), _BLOCK):
        out.append(model.score_events(events[start : start + _BLOCK]).astype(np.float64))
        report(doing, min(start + _BLOCK, len(events)), len(events))
    return np.concatenate(out)


def ranked(models: Mapping[str, Recommender], interactions: Interactions, split: str, *, report: Report = silent) -> dict[str, Ranked]:
    """NDCG@10 and Recall@10 of full ranking (no candidate is sampled) over the users who liked something new in `split`, by name."""
    from score_rag.crm.ranking import RankingTask

    task = RankingTask(interactions, split)
    out = {}
    for done, (name, model) in enumerate(models.items(), start=1):
        out[name] = task.rank(model)
        report("ranking the catalogue", done, len(models))
    return out


def fit_baselines(pipeline: Pipeline, interactions: Interactions, *, report: Report = silent) -> dict[str, Recommender]:
    """Every baseline, fitted now or read from the run's folder where it was fitted on the same data by the same settings.

    Raises:
        StageError: The data stage is not finished.
        LockedError: Something else writes to this run's folder.
    """
    from score_rag.crm.models import make_model, read_model

    data = read_json(finished_folder(pipeline, "data") / "finished.json")["key"]
    out: dict[str, Recommender] = {}
    plan = baselines(pipeline)
    for done, one in enumerate(plan, start=1):
        folder = run_folder(pipeline) / "baselines" / one.folder
        history = pipeline.data.history
        belongs = digest_json([data, one.kind, one.settings, one.fitting, history, pipeline.seed])
        marker = folder / "belongs.json"
        if marker.is_file() and read_json(marker)["to"] == belongs:
            out[one.name] = read_model(folder).bind(interactions.log)
        else:
            model: Any = make_model(one.kind, **one.settings, history=history)
            seeded = {"seed": pipeline.seed} if one.fitting else {}
            with folder_lock(run_folder(pipeline), doing=f"fitting the baseline {one.name}"), staged_folder(folder) as aside:
                model.fit(interactions, **one.fitting, **seeded, report=_named(report, one.name))
                model.save_pretrained(aside)
                write_json(aside / "belongs.json", {"to": belongs})
            out[one.name] = model
        report("fitting baselines", done, len(plan))
    return out


def _named(report: Report, name: str) -> Report:
    """A bar that says whose training it shows."""

    def told(what: str, done: int, total: int) -> None:
        report(f"{what}: {name}", done, total)

    return told
