"""A finished run against held-out events: SCORE, the systems it is compared with, and the non-learned baselines.

Every row's question uses only what was known before its second. Rows are sampled as whole users, so that a per-user AUC stays one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from score_rag.data.interactions import event_rows
from score_rag.evaluation.against import ask, compare_with, open_other
from score_rag.evaluation.baselines import fit_baselines, ranked, score_events, trivial_models
from score_rag.evaluation.notes import is_finished, table_notes
from score_rag.evaluation.rows import choose_rows, warm_and_cold
from score_rag.evaluation.stored import made_from, store_table, table_name
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.run import Run
from score_rag.pipeline.tracking import check_tracking, track
from score_rag.progress import Report, silent

if TYPE_CHECKING:
    from score_rag.crm.interface import CollaborativeModel
    from score_rag.evaluation.orders import OrderTable
    from score_rag.evaluation.scorecard import Scorecard

__all__ = ["FULL", "evaluate_run", "open_run"]

FULL = "SCORE"


def open_run(pipeline: Pipeline) -> Run:
    """The run of a finished run; a stage that is not finished raises `StageError` when its part is asked for."""
    return Run.open(pipeline)


def evaluate_run(
    pipeline: Pipeline,
    *,
    split: str | None = None,
    rows: int | None = None,
    against: Sequence[str] = (),
    baselines: bool = False,
    report: Report = silent,
) -> Scorecard:
    """Score held-out events and compare.

    Args:
        pipeline: A pipeline whose run is finished.
        split: `train`, `valid` or `test`; the pipeline file's by default.
        rows: At most so many events; the pipeline file's number by default.
        against: Rows to add, the first of which paired tests are made against: `no-ci` (the same predictor tuned without other users;
            trained now if it was not yet), `item-average`, or another pipeline whose finished run reads the same data.
        baselines: Add every conventional recommender, fitted now where it was not yet, and full ranking. Then the run needs its data alone:
            SCORE is a row where it is finished.

    Raises:
        StageError: The run is not finished.
        InputError: `against` names nothing known.
    """
    from score_rag.evaluation.calibration import Calibration
    from score_rag.evaluation.scorecard import Scorecard

    check_tracking(pipeline)
    made = made_from(pipeline)
    run = open_run(pipeline)
    interactions = run.interactions
    others = {name: open_other(run, name) for name in against if name not in ("no-ci", "item-average")}
    split = split or pipeline.evaluation.split
    frame = choose_rows(interactions, split, rows or pipeline.evaluation.rows, seed=pipeline.seed)
    events = list(event_rows(frame))
    finished = not baselines or is_finished(pipeline, "predictor")
    notes = table_notes(run, split, frame, predictor=finished)

    scores: dict[str, np.ndarray] = {}
    if finished:
        answers = ask(run, events, report)
        scores[FULL] = np.array([answer.probability for answer in answers])
        low = sum(answer.mass < 0.5 for answer in answers)
        notes.append(
            f"mean mass of Yes and No: {np.mean([answer.mass for answer in answers]):.3f}; below .5 in {low} of {len(answers)} rows"
        )
    else:
        notes.append("without SCORE: the predictor of this run is not trained yet")
    references = [compare_with(run, others.get(name), events, name, scores, report) for name in against]
    models = _crm(run) if finished or is_finished(pipeline, "crm") else {}
    if baselines:
        fitted, missing = fit_baselines(pipeline, interactions, report=report)
        models |= fitted
        notes += missing
    models |= trivial_models(interactions)
    scores |= {name: score_events(model, frame, report=report, doing=f"asking {name}") for name, model in models.items()}
    ranks = baselines and split != "train"
    card = Scorecard.from_scores(
        frame.select("user_id", "label"),
        scores,
        reference=references[0] if references else None,
        resamples=pipeline.evaluation.resamples,
        seed=pipeline.seed,
        title=f"{pipeline.name}: {split}" + (", sampled negatives" if interactions.sampled else ""),
        notes=notes,
        slices=warm_and_cold(interactions, frame),
        ranking=ranked(models, interactions, split, report=report) if ranks else None,
    )
    card = replace(
        card,
        calibration=Calibration.of(scores[FULL], frame["label"].to_numpy()) if finished else None,
        orders=_orders(run, split, report) if ranks and finished else None,
        made_from=made,
    )
    table = frame.with_columns([pl.Series(name, value) for name, value in scores.items()])
    told = store_table(pipeline, table_name(split, rows), card.to_dict(), table)
    told += track(
        pipeline,
        table_name(split, rows),
        card.metrics(),
        {"table": card.title, "settings": made["settings"], "predictor": made["predictor"]},
    )
    return replace(card, notes=(*card.notes, *told))


def _orders(run: Run, split: str, report: Report) -> OrderTable:
    """A ranking by SCORE beside the order of the run's recommender."""
    from score_rag.evaluation.orders import OrderTable
    from score_rag.pipeline.ranking import compare_orders

    found = compare_orders(run, split, report=report)
    return OrderTable.of(found, _row(run.crm), resamples=run.pipeline.evaluation.resamples, seed=run.pipeline.seed)


def _crm(run: Run) -> dict[str, CollaborativeModel]:
    """The run's conventional recommender, by the name of its row."""
    return {_row(run.crm): run.crm}


def _row(model: CollaborativeModel) -> str:
    return f"{model.name} alone (CRM)"
