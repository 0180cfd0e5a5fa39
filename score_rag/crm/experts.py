"""The recommenders whose expectations are told to the language model: fitted on all training events, and on earlier blocks of time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from score_rag.crm.expectations import EXPECTATION_COLUMNS, drawn_events, expectations_frame, prequential_scores
from score_rag.crm.interface import CollaborativeModel
from score_rag.crm.registry import read_model
from score_rag.data.interactions import Interactions
from score_rag.progress import Report, silent

__all__ = ["FitExpert", "drawn_until", "fit_experts", "read_expectations", "read_experts"]

FitExpert = Callable[[str, Interactions, bool], CollaborativeModel]
"""`fit(name, interactions, final)`: a recommender of that kind; `final` for the one of all training events."""

_FOLDER, _FILE, _UNTIL = "experts", "expectations.parquet", "score_rag.drawn_until"


def fit_experts(
    names: Sequence[str],
    fit: FitExpert,
    interactions: Interactions,
    folder: Path,
    *,
    teacher: CollaborativeModel | None = None,
    most: int | None = None,
    seed: int = 0,
    report: Report = silent,
) -> dict[str, float]:
    """Fit each recommender and write `experts/<name>/` and `expectations.parquet` into a finished recommender's folder.

    Args:
        names: Kinds of recommenders.
        fit: Fits one.
        teacher: The stage's own recommender: what is already fitted is not fitted again.
        most: Training events that are asked about; of more, so many are drawn.
        seed: Of that draw.

    Returns:
        By name, the AUC of the expectations on training events: prequential, so no event was known to who expected.
    """
    from score_rag.metrics.auc import auc

    learned = interactions.learned
    labels = learned["label"].to_numpy()
    drawn = drawn_events(interactions, most, seed=seed)
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
        scores[name] = prequential_scores(interactions, fit_block, drawn=drawn, report=named)
        there = ~np.isnan(scores[name])
        told[name] = auc(labels[there], scores[name][there]) if there.any() else float("nan")
    facts = {} if drawn is None else {_UNTIL: str(learned["timestamp"].max())}
    expectations_frame(interactions, scores, drawn=drawn).write_parquet(folder / _FILE, metadata=facts)
    return {name: value for name, value in told.items() if value == value}  # nan is no JSON


def read_experts(folder: Path, interactions: Interactions) -> dict[str, CollaborativeModel]:
    """The recommenders of a finished folder by name, bound to the log, in the order in which they were fitted."""
    own = read_model(folder)
    out = {}
    for name in read_expectations(folder).columns[len(EXPECTATION_COLUMNS) :]:
        there = folder / _FOLDER / name
        out[name] = (read_model(there) if there.is_dir() else own).bind(interactions.log)
    return out


def drawn_until(folder: Path) -> int | None:
    """The last second of the training events of which some were drawn to be asked about; None where all were asked about."""
    there = (folder / _FILE).is_file()
    until = pl.read_parquet_metadata(folder / _FILE).get(_UNTIL) if there else None
    return None if until is None else int(until)


def read_expectations(folder: Path) -> pl.DataFrame:
    """What was expected of training events that were asked about; no rows and no recommenders where none was asked."""
    if not (folder / _FILE).is_file():
        kinds = dict(zip(EXPECTATION_COLUMNS, (pl.String(), pl.String(), pl.Int64()), strict=True))
        return pl.DataFrame(schema=kinds)
    return pl.read_parquet(folder / _FILE)
