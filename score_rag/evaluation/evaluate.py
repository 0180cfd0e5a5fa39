"""A finished run against held-out events: SCORE, the systems it is compared with, and the non-learned baselines.

Every row's question uses only what was known before its second. Rows are sampled as whole users, so that a per-user AUC stays one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from score_rag.data.interactions import event_rows
from score_rag.evaluation.against import NO_CI, ask, compare_with, open_other, run_row
from score_rag.evaluation.baselines import ITEM_AVERAGE, fit_baselines, ranked, score_events, trivial_models
from score_rag.evaluation.notes import is_finished, table_notes
from score_rag.evaluation.predictions import check_target, predictions_frame, write_predictions
from score_rag.evaluation.rows import choose_rows, parts_of, training_events
from score_rag.evaluation.stored import made_from, store_table, table_name
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.run import Run
from score_rag.pipeline.tracking import check_tracking
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
    predictions: Path | str | None = None,
    k: int = 10,
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
        predictions: Also write every event with every scorer's score to this file (`score_rag.evaluation.predictions`).
        k: Of NDCG@k and Recall@k over each user's scored rows.

    Raises:
        StageError: The run is not finished.
        InputError: `against` names nothing known; `predictions` has an unknown ending or lies in no folder.
    """
    from score_rag.evaluation.scorecard import Scorecard

    if predictions is not None:
        check_target(predictions)
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
    facts = training_events(interactions, frame)
    if finished:
        answers, told = ask(run, events, report)
        facts["neighbours"] = np.array([len(one.neighbours) for one in told])
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
    table = predictions_frame(frame, scores, facts, made)
    card = Scorecard.from_scores(
        table,
        scores,
        reference=references[0] if references else None,
        resamples=pipeline.evaluation.resamples,
        seed=pipeline.seed,
        title=f"{pipeline.name}: {split}" + (", sampled negatives" if interactions.sampled else ""),
        notes=notes,
        slices=parts_of(table),
        ranking=ranked(models, interactions, split, report=report) if ranks else None,
        probabilities={FULL, NO_CI, ITEM_AVERAGE, *map(run_row, others.values())} & scores.keys(),
        k=k,
        reliability=FULL if finished else None,
    )
    card = replace(
        card,
        orders=_orders(run, split, report) if ranks and finished else None,
        made_from=made,
    )
    name = table_name(split, rows)
    stored = store_table(pipeline, name, card.to_dict(), table, metrics=card.metrics())
    if predictions is not None:
        write_predictions(table, predictions)
        stored.append(f"predictions: {predictions}")
    return replace(card, notes=(*card.notes, *stored))


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
