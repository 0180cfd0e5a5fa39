"""A finished run against held-out events: SCORE, what it is compared with, and the rows that need no learning.

Every row's question uses only what was known before its second. Rows are drawn as whole users, so that a per-user AUC stays one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from score_rag.data.describe import warm_mask
from score_rag.data.interactions import Interactions, event_rows
from score_rag.data.log import Event
from score_rag.data.split import require_questions
from score_rag.errors import DataError, InputError, StageError
from score_rag.evaluation.baselines import ITEM_AVERAGE, fit_baselines, ranked, score_events, trivial_models
from score_rag.files import digest_json, make_once, read_json, write_json
from score_rag.pipeline.config import Pipeline, load_pipeline
from score_rag.pipeline.run import Run
from score_rag.pipeline.runner import finished_folder, run_folder, status
from score_rag.pipeline.stages import stages
from score_rag.progress import Report, silent

if TYPE_CHECKING:
    from score_rag.crm.interface import CollaborativeModel
    from score_rag.evaluation.scorecard import Scorecard
    from score_rag.predictor.predictor import Answer

__all__ = ["choose_rows", "evaluate_run", "open_run"]

FULL, WITHOUT = "SCORE", "same predictor, no CI"


def open_run(pipeline: Pipeline) -> Run:
    """The run of a finished run; a stage that is not finished raises `StageError` when its part is asked for."""
    return Run.open(pipeline)


def choose_rows(interactions: Interactions, split: str, most: int | None, *, seed: int) -> pl.DataFrame:
    """Events of a split, as whole users in a seeded order until `most` rows are reached (all of them where it is None).

    Raises:
        InputError: No such split, or background, whose events are no questions.
        DataError: The split is empty.
    """
    require_questions(split)
    rows = interactions.events.filter(pl.col("split") == split)
    if not len(rows):
        raise DataError(f"the {split} split is empty", hint="choose another: --split valid")
    if most is None or len(rows) <= most:
        return rows
    users = rows["user_id"].unique(maintain_order=True)
    order = users.gather(np.random.default_rng(seed).permutation(len(users)))
    count = rows.group_by("user_id").len()
    running = pl.DataFrame({"user_id": order}).join(count, on="user_id", how="left", maintain_order="left")
    kept = running.filter(pl.col("len").cum_sum() <= most)["user_id"]
    # The first user alone may be more than asked for; a table without rows would say nothing.
    kept = kept if len(kept) else order.head(1)
    return rows.filter(pl.col("user_id").is_in(kept.implode()))


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
    from score_rag.evaluation.scorecard import Scorecard

    run = open_run(pipeline)
    late = _late(pipeline)
    interactions = run.interactions
    out = run_folder(pipeline) / "evaluation"
    out.mkdir(exist_ok=True)
    others = {name: _open_other(run, name) for name in against if name not in ("no-ci", "item-average")}
    split = split or pipeline.evaluation.split
    frame = choose_rows(interactions, split, rows or pipeline.evaluation.rows, seed=pipeline.seed)
    events = list(event_rows(frame))
    notes = [f"data: {pipeline.data.source}, split: {pipeline.data.split}, history: {pipeline.data.history}, ties: {interactions.ties}"]
    notes += read_json(run.folder("data") / "report.json")["warnings"]
    notes += late
    if split == "train":
        notes.append("these rows were learnt from: the numbers say how well they are remembered, nothing else")
    if split == "valid":
        notes.append("epochs of all that is learnt were chosen on these rows: their numbers are a little too good")
    if len(frame) < (interactions.events["split"] == split).sum():
        notes.append(f"{len(frame):,} rows of whole users, drawn by seed {pipeline.seed}")

    scores: dict[str, np.ndarray] = {}
    finished = not baselines or _finished(pipeline, "predictor")
    if finished:
        answers = _ask(run, events, report)
        scores[FULL] = np.array([answer.probability for answer in answers])
        low = sum(answer.mass < 0.5 for answer in answers)
        notes.append(
            f"mean mass of Yes and No: {np.mean([answer.mass for answer in answers]):.3f}; below .5 in {low} of {len(answers)} rows"
        )
    else:
        notes.append(f"without SCORE, which is not finished here: score-rag run {pipeline.words}")
    references = [_compare(run, others.get(name), events, name, scores, report) for name in against]
    models = _crm(run) if finished or _finished(pipeline, "crm") else {}
    if baselines:
        fitted, missing = fit_baselines(pipeline, interactions, report=report)
        models |= fitted
        notes += missing
    models |= trivial_models(interactions)
    scores |= {name: score_events(model, frame, report=report, doing=f"asking {name}") for name, model in models.items()}
    card = Scorecard.from_scores(
        frame.select("user_id", "label"),
        scores,
        reference=references[0] if references else None,
        resamples=pipeline.evaluation.resamples,
        seed=pipeline.seed,
        title=f"{pipeline.name}: {split}" + (", sampled negatives" if interactions.sampled else ""),
        notes=notes,
        slices=_warm_and_cold(interactions, frame),
        ranking=ranked(models, interactions, split, report=report) if baselines and split != "train" else None,
    )
    # A quick look at fewer rows must not take the place of the whole.
    name = split if rows is None else f"{split}-{rows}-rows"
    table = frame.with_columns([pl.Series(name, value) for name, value in scores.items()])
    aside = out / f".{name}.parquet.tmp"
    table.write_parquet(aside)
    aside.replace(out / f"{name}.parquet")
    write_json(out / f"{name}.json", card.to_dict())
    return card


def _late(pipeline: Pipeline) -> list[str]:
    """What a reader must know of stages that were made from other settings or prompts than the pipeline has now.

    Raises:
        StageError: The data is of other settings: the rows would not be what they are called.
    """
    notes = []
    for stage in status(pipeline, stages(pipeline), inputs=False):
        if stage.state == "stale" and stage.name == "data":
            hint = f"score-rag run {pipeline.words}"
            raise StageError("the run's data was made from other settings", where=run_folder(pipeline), found=stage.reason, hint=hint)
        if stage.state == "stale":
            notes.append(f"{stage.name} is stale ({stage.reason}); its numbers are of what was trained before")
    return notes


def _finished(pipeline: Pipeline, stage: str) -> bool:
    try:
        finished_folder(pipeline, stage)
    except StageError:
        return False
    return True


def _warm_and_cold(interactions: Interactions, frame: pl.DataFrame) -> dict[str, np.ndarray]:
    """Which rows are warm (METHOD: user and item both have at least three training events), and which are not."""
    warm = warm_mask(interactions, frame)
    return {} if warm.all() else {"warm (both with 3 training events)": warm, "cold (user or item with fewer)": ~warm}


def _compare(run: Run, theirs: Run | None, events: Sequence[Event], against: str, scores: dict[str, np.ndarray], report: Report) -> str:
    """Add the scores of what is compared with, where they are not there anyway; its name in the table."""
    if against == "item-average":
        return ITEM_AVERAGE
    if against == "no-ci":
        from score_rag.pipeline.fit_predictor import OTHERS
        from score_rag.predictor.predictor import Predictor

        predictor = Predictor.from_pretrained(_without_others(run, report))
        told = run.writer.write(run.finder.questions(events), None, hide=OTHERS)
        answers = predictor.score([one.text for one in told], report=report)
        scores[WITHOUT] = np.array([answer.probability for answer in answers])
        return WITHOUT
    assert theirs is not None
    name = f"run {theirs.pipeline.name}"
    if name in scores:
        raise InputError(f"two rows would be called {name!r}", where="--against", hint="rename one of the pipelines")
    scores[name] = np.array([answer.probability for answer in _ask(theirs, events, report)])
    return name


def _open_other(run: Run, against: str) -> Run:
    """The finished run of another pipeline on the same data.

    Raises:
        InputError: There is no such pipeline, or its data is other data.
    """
    try:
        other = load_pipeline(against)
    except InputError as error:
        raise InputError(
            f"there is nothing called {against!r} to compare with",
            expected="no-ci, item-average, or a pipeline whose run is finished",
            hint=error.hint,
        ) from error
    theirs = open_run(other)
    if not theirs.interactions.events.equals(run.interactions.events):
        raise InputError(f"the run {other.name!r} was made from other data", expected="the same events in the same splits")
    return theirs


def _ask(run: Run, events: Sequence[Event], report: Report) -> list[Answer]:
    """The whole of SCORE on each event."""
    _, told = run.write(run.finder.questions(events), report=report)
    return run.predictor.score([one.text for one in told], report=report)


def _without_others(run: Run, report: Report) -> Path:
    """The predictor of the ablation `no-ci`, tuned now if the run has none that belongs to its present predictor."""
    from score_rag.pipeline.fit_predictor import OTHERS, fit_from_run

    pipeline = run.pipeline
    folder = run_folder(pipeline) / "ablations" / "no-ci"
    base = run.folder("predictor") / "base"

    def make(aside: Path) -> Any:
        return fit_from_run(run, aside, hide=OTHERS, base_from=base if base.is_dir() else None, report=report)

    belongs = digest_json(read_json(run.folder("predictor") / "finished.json")["key"])
    make_once(folder, belongs=belongs, owner=run_folder(pipeline), doing="tuning the predictor without other users", make=make)
    return folder


def _crm(run: Run) -> dict[str, CollaborativeModel]:
    """The run's conventional recommender, by the name of its row."""
    from score_rag.crm.registry import read_model

    model = read_model(run.folder("crm")).bind(run.interactions.log)
    return {f"{model.name} alone (CRM)": model}
