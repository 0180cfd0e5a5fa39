"""The recommenders whose expectations are told to the language model: fitted on all training events, and on earlier blocks of time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from score_rag.crm.expectations import EXPECTATION_COLUMNS, expectations_frame, prequential_scores
from score_rag.crm.interface import CollaborativeModel
from score_rag.crm.registry import read_model
from score_rag.data.interactions import Interactions
from score_rag.progress import Report, silent

__all__ = ["FitExpert", "fit_experts", "read_expectations", "read_experts"]

FitExpert = Callable[[str, Interactions, bool], CollaborativeModel]
"""`fit(name, interactions, final)`: a recommender of that kind; `final` for the one of all training events."""

_FOLDER, _FILE = "experts", "expectations.parquet"


def fit_experts(
    names: Sequence[str],
    fit: FitExpert,
    interactions: Interactions,
    folder: Path,
    *,
    teacher: CollaborativeModel | None = None,
    report: Report = silent,
) -> dict[str, float]:
    """Fit each recommender and write `experts/<name>/` and `expectations.parquet` into a finished recommender's folder.

    Args:
        names: Kinds of recommenders.
        fit: Fits one.
        teacher: The stage's own recommender: what is already fitted is not fitted again.

    Returns:
        By name, the AUC of the expectations on training events: prequential, so no event was known to who expected.
    """
    from score_rag.metrics.auc import auc

    learned = interactions.learned
    labels = learned["label"].to_numpy()
    scores: dict[str, np.ndarray] = {}
    told = {}
    for name in names:

        def named(what: str, done: int, total: int, name: str = name) -> None:
            report(f"{what}: {name}", done, total)

        def fit_block(world: Interactions, name: str = name) -> CollaborativeModel:
            return fit(name, world, False)

        own = teacher is not None and teacher.kind == name
        if not own:
            fit(name, interactions, True).save_pretrained(folder / _FOLDER / name)
        scores[name] = prequential_scores(interactions, fit_block, report=named)
        there = ~np.isnan(scores[name])
        told[name] = auc(labels[there], scores[name][there]) if there.any() else float("nan")
    expectations_frame(interactions, scores).write_parquet(folder / _FILE)
    return {name: value for name, value in told.items() if value == value}  # nan is no JSON


def read_experts(folder: Path, interactions: Interactions) -> dict[str, CollaborativeModel]:
    """The recommenders of a finished folder by name, bound to the log, in the order in which they were fitted."""
    own = read_model(folder)
    out = {}
    for name in read_expectations(folder).columns[len(EXPECTATION_COLUMNS) :]:
        there = folder / _FOLDER / name
        out[name] = (read_model(there) if there.is_dir() else own).bind(interactions.log)
    return out


def read_expectations(folder: Path) -> pl.DataFrame:
    """What was expected of training events; no rows and no recommenders where none was asked."""
    if not (folder / _FILE).is_file():
        kinds = dict(zip(EXPECTATION_COLUMNS, (pl.String(), pl.String(), pl.Int64()), strict=True))
        return pl.DataFrame(schema=kinds)
    return pl.read_parquet(folder / _FILE)
