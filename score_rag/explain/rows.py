"""Explains held-out questions of a run, and keeps their average picture with the run's other tables."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from score_rag.data.interactions import event_rows
from score_rag.evaluation.notes import table_notes
from score_rag.evaluation.rows import choose_rows
from score_rag.evaluation.stored import made_from, store_table, table_name
from score_rag.explain.average import KIND, AveragePicture
from score_rag.explain.explainer import Explainer
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.run import Run
from score_rag.pipeline.tracking import check_tracking
from score_rag.progress import Report, silent

__all__ = ["explain_rows"]


def explain_rows(pipeline: Pipeline, rows: int, *, split: str | None = None, report: Report = silent) -> AveragePicture:
    """The average picture of at most `rows` held-out questions, as whole users.

    Args:
        pipeline: A pipeline whose run is finished.
        split: `train`, `valid` or `test`; the pipeline file's by default.

    Raises:
        StageError: The run is not finished.
    """
    check_tracking(pipeline)
    made = made_from(pipeline)
    run = Run.open(pipeline)
    split = split or pipeline.evaluation.split
    frame = choose_rows(run.interactions, split, rows, seed=pipeline.seed)
    explainer = Explainer(run)
    notes = [*explainer.notes, *table_notes(run, split, frame, predictor=True)]
    questions = run.finder.questions(list(event_rows(frame)))
    _, told = run.write(questions, report=report, keep_values=True)
    looks = explainer.look(told, report=report)
    picture = AveragePicture.of(
        looks,
        frame["user_id"].to_list(),
        frame["label"].to_numpy(),
        title=f"{pipeline.name}: {split}, what verdicts look at and what each part changes",
        notes=notes,
        resamples=pipeline.evaluation.resamples,
        seed=pipeline.seed,
        made_from=made,
    )
    columns = [pl.Series("SCORE", [look.answer.probability for look in looks])]
    for row in picture.rows:
        own = [next((one for one in look.segments if one.name == row.name), None) for look in looks]
        if row.attention is not None:
            columns.append(pl.Series(f"attention: {row.name}", [None if one is None else one.attention for one in own]))
        if row.change is not None:
            columns.append(pl.Series(f"without: {row.name}", [None if one is None else one.without for one in own]))
    name = table_name(split, rows, KIND)
    notes += store_table(pipeline, name, picture.to_dict(), frame.with_columns(columns), metrics=picture.metrics())
    return replace(picture, notes=tuple(notes))
