"""What SCORE is compared with: the same predictor without others, the item's average, or another run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from score_rag.data.log import Event
from score_rag.errors import InputError
from score_rag.evaluation.baselines import ITEM_AVERAGE
from score_rag.files import digest_json, make_once, read_json
from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.run import Run
from score_rag.pipeline.state import run_folder
from score_rag.progress import Report

if TYPE_CHECKING:
    from score_rag.context.writer import Told
    from score_rag.predictor.predictor import Answer

__all__ = ["NO_CI", "ask", "compare_with", "open_other", "run_row"]

NO_CI = "same predictor, no CI"


def ask(run: Run, events: Sequence[Event], report: Report) -> tuple[list[Answer], list[Told]]:
    """The whole of SCORE on each event: answers, and the prompts with what was told in them."""
    _, told = run.write(run.finder.questions(events), report=report)
    return run.predictor.score([one.text for one in told], report=report), told


def compare_with(run: Run, theirs: Run | None, events: Sequence[Event], against: str, scores: dict[str, np.ndarray], report: Report) -> str:
    """Add the scores of what is compared with, where they are not there anyway; its name in the table."""
    if against == "item-average":
        return ITEM_AVERAGE
    if against == "no-ci":
        from score_rag.pipeline.fit_predictor import OTHERS
        from score_rag.predictor.predictor import Predictor

        predictor = Predictor.from_pretrained(_without_others(run, report))
        told = run.writer.write(run.finder.questions(events), None, hide=OTHERS)
        answers = predictor.score([one.text for one in told], report=report)
        scores[NO_CI] = np.array([answer.probability for answer in answers])
        return NO_CI
    assert theirs is not None
    name = run_row(theirs)
    if name in scores:
        raise InputError(f"two rows would be called {name!r}", where="--against", hint="rename one of the pipelines")
    scores[name] = np.array([answer.probability for answer in ask(theirs, events, report)[0]])
    return name


def run_row(theirs: Run) -> str:
    """What the row of another pipeline's run is called."""
    return f"run {theirs.pipeline.name}"


def open_other(run: Run, against: str) -> Run:
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
    theirs = Run.open(other)
    if not theirs.interactions.events.equals(run.interactions.events):
        raise InputError(f"the run {other.name!r} was made from other data", expected="the same events in the same splits")
    return theirs


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
