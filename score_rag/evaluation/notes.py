"""What a reader must know of every table: the data, the information that was used, what is stale, what the predictor's guard found."""

from __future__ import annotations

import polars as pl

from score_rag.data.report import information
from score_rag.errors import RunStage, StageError
from score_rag.files import read_json
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.run import Run
from score_rag.pipeline.stages import stages
from score_rag.pipeline.state import finished_folder, run_folder, status

__all__ = ["is_finished", "stale_stages", "table_notes"]


def table_notes(run: Run, split: str, frame: pl.DataFrame, *, predictor: bool) -> list[str]:
    """Notes on rows of a split.

    Args:
        frame: The rows that are scored.
        predictor: Whether the run's predictor scores them.
    """
    pipeline, interactions = run.pipeline, run.interactions
    notes = [
        f"data: {pipeline.data.source}, split: {pipeline.data.split}, history: {pipeline.data.history}, ties: {interactions.ties}",
        f"information used: {information(interactions, pipeline.data.history)}",
    ]
    notes += read_json(run.folder("data") / "report.json")["warnings"]
    notes += stale_stages(pipeline)
    if split == "train":
        notes.append("these rows were trained on: the numbers show how well they are remembered, nothing else")
    if split == "valid":
        notes.append("all epochs were chosen on these rows: their numbers are a little too good")
    if len(frame) < (interactions.events["split"] == split).sum():
        notes.append(f"{len(frame):,} rows of whole users, sampled by seed {pipeline.seed}")
    return [*notes, *run.guard.warnings] if predictor else notes


def stale_stages(pipeline: Pipeline) -> list[str]:
    """What a reader must know of stages that were made from other settings or prompts than the pipeline has now.

    Raises:
        StageError: The data is of other settings: the rows would not be what they are called.
    """
    notes = []
    for stage in status(pipeline, stages(pipeline), inputs=False):
        if stage.state == "stale" and stage.name == "data":
            error = StageError(
                "the run's data was made with other settings", where=run_folder(pipeline), found=stage.reason, remedy=RunStage(None)
            )
            error.pipeline = pipeline.words
            raise error
        if stage.state == "stale":
            notes.append(f"{stage.name} is stale ({stage.reason}); its numbers are those of the earlier training")
    return notes


def is_finished(pipeline: Pipeline, stage: str) -> bool:
    """Whether a stage of the run is there."""
    try:
        finished_folder(pipeline, stage)
    except StageError:
        return False
    return True
