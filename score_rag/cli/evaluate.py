"""`score-rag evaluate`: a finished run on held-out events, beside the baselines, and asked otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from score_rag.cli.options import Json, PipelineName, Set
from score_rag.errors import InputError

if TYPE_CHECKING:
    from score_rag.evaluation.evidence_report import EvidenceReport
    from score_rag.evaluation.scorecard import Scorecard

__all__ = ["evaluate", "evidence", "scorecard", "stored"]


def evaluate(
    pipeline: PipelineName,
    split: Annotated[str | None, typer.Option(help="train, valid or test. Default: the pipeline's setting.")] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Evaluate at most this many events (whole users).")] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            help="Add a row and test against it: no-ci (the same predictor without collaborative information, trained now if missing), "
            "item-average, or another pipeline's run. Repeatable; tests use the first."
        ),
    ] = None,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Add every conventional recommender (trained now if missing) and full-ranking metrics.")
    ] = False,
    evidence_: Annotated[
        bool,
        typer.Option(
            "--evidence",
            help="Ask the same predictor without each kind of evidence, with one kind alone, with fewer, more and random other users; "
            "paired tests against the full predictor.",
        ),
    ] = False,
    shuffle: Annotated[
        bool, typer.Option("--shuffle-evidence", help="Permute each kind of evidence across users: what AUC and UAUC lose.")
    ] = False,
    show: Annotated[
        bool, typer.Option("--show", help="Print the last stored table of the split, and what has changed since; score nothing.")
    ] = False,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Evaluate a finished run on held-out events: AUC and UAUC with confidence intervals, beside non-learned baselines."""
    kinds = [kind for kind, asked in (("shuffled", shuffle), ("evidence", evidence_)) if asked]
    if (kinds or show) and (against or baselines):
        raise InputError("these options are for a new scorecard", where="--against, --baselines", expected="no other option beside them")
    tables: dict[str, Any]
    if show:
        tables = stored(pipeline, kinds or ["scorecard"], split=split, rows=rows, overrides=set_ or [])
    elif kinds:
        tables = evidence(pipeline, kinds, split=split, rows=rows, overrides=set_ or [], quiet=json)
    else:
        card = scorecard(pipeline, split=split, rows=rows, against=against or [], baselines=baselines, overrides=set_ or [], quiet=json)
        tables = {"scorecard": card}
    _print(tables, json=json)


def scorecard(
    name: str, *, split: str | None, rows: int | None, against: list[str], baselines: bool, overrides: list[str], quiet: bool
) -> Scorecard:
    """Evaluate, with bars."""
    from score_rag.cli.screen import bars
    from score_rag.evaluation.evaluate import evaluate_run
    from score_rag.pipeline.config import load_pipeline

    with bars(quiet=quiet) as report:
        pipeline = load_pipeline(name, overrides=overrides)
        return evaluate_run(pipeline, split=split, rows=rows, against=against, baselines=baselines, report=report)


def evidence(
    name: str, kinds: list[str], *, split: str | None, rows: int | None, overrides: list[str], quiet: bool
) -> dict[str, EvidenceReport]:
    """Ask otherwise, with bars."""
    from score_rag.cli.screen import bars
    from score_rag.evaluation.evidence import evidence_reports
    from score_rag.pipeline.config import load_pipeline

    with bars(quiet=quiet) as report:
        return evidence_reports(load_pipeline(name, overrides=overrides), kinds, split=split, rows=rows, report=report)


def stored(
    name: str, kinds: list[str], *, split: str | None, rows: int | None, overrides: list[str]
) -> dict[str, Scorecard | EvidenceReport]:
    """The last stored tables of a split by kind, each with notes on what has changed since."""
    from score_rag.evaluation.evidence_report import EvidenceReport
    from score_rag.evaluation.scorecard import Scorecard
    from score_rag.evaluation.stored import find_table, staleness
    from score_rag.pipeline.config import load_pipeline

    pipeline = load_pipeline(name, overrides=overrides)
    out: dict[str, Scorecard | EvidenceReport] = {}
    for kind in kinds:
        table = find_table(pipeline, split or pipeline.evaluation.split, rows, kind)
        table["notes"] = [*staleness(pipeline, table), *table["notes"]]
        out[kind] = Scorecard.from_dict(table) if kind == "scorecard" else EvidenceReport.from_dict(table)
    return out


def _print(tables: dict[str, Any], *, json: bool) -> None:
    from score_rag.cli.screen import console, print_json

    if json:
        # One table is told as it is, two by their names.
        found = {name: table.to_dict() for name, table in tables.items()}
        print_json(found if len(found) > 1 else next(iter(found.values())))
        return
    screen = console()
    for table in tables.values():
        for part in table.tables():
            screen.print(part)
