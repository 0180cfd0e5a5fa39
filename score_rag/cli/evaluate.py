"""`score-rag evaluate`: a finished run on held-out events, beside the baselines, and asked otherwise; or a table of predictions."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from score_rag.cli.options import Json, Set
from score_rag.errors import InputError

if TYPE_CHECKING:
    from score_rag.evaluation.evidence_report import EvidenceReport
    from score_rag.evaluation.scorecard import Scorecard

__all__ = ["evaluate", "evidence", "is_table", "of_file", "scorecard", "stored"]


def evaluate(
    pipeline: Annotated[
        str,
        typer.Argument(
            help="A pipeline's name or YAML file, whose run is finished; or a table of predictions (.parquet, .csv, .tsv), of whichever "
            "system: columns user_id and label (0 or 1), and a column of numbers for each scorer."
        ),
    ],
    split: Annotated[str | None, typer.Option(help="train, valid or test. Default: the pipeline's setting.")] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Evaluate at most this many events (whole users).")] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            help="Add a row and test against it: no-ci (the same predictor without collaborative information, trained now if missing), "
            "item-average, or another pipeline's run. Repeatable; tests use the first. Of a table of predictions: one of its scorers."
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
    predictions: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write ids, label and every scorer's score of each event to FILE (.parquet, .csv, .tsv)."),
    ] = None,
    k: Annotated[int, typer.Option("--k", min=1, help="Of NDCG@k and Recall@k over each user's scored rows.")] = 10,
    scorer: Annotated[
        list[str] | None,
        typer.Option(help="Of a table of predictions: a column to evaluate. Repeatable. Default: every column of numbers."),
    ] = None,
    probability: Annotated[
        list[str] | None,
        typer.Option(
            help="Of a table of predictions: a scorer that is P(like), for log-loss, Brier score and calibration. Repeatable. "
            "Default: those whose scores all lie between 0 and 1."
        ),
    ] = None,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Evaluate a finished run, or a table of predictions, on held-out events: AUC, UAUC, calibration, NDCG, Recall, with intervals."""
    kinds = [kind for kind, asked in (("shuffled", shuffle), ("evidence", evidence_)) if asked]
    new: dict[str, Any] = {"--against": against, "--baselines": baselines, "--predictions": predictions}
    of_runs: dict[str, Any] = {
        "--split": split,
        "--rows": rows,
        "--baselines": baselines,
        "--evidence": evidence_,
        "--shuffle-evidence": shuffle,
    }
    of_runs |= {"--show": show, "--predictions": predictions, "--set": set_}
    tables: dict[str, Any]
    if is_table(pipeline):
        _refuse(of_runs, "a pipeline's run, not a table of predictions")
        tables = {"scorecard": of_file(pipeline, scorers=scorer or [], probabilities=probability or [], against=against or [], k=k)}
    elif show or kinds:
        _refuse({**new, "--scorer": scorer, "--probability": probability}, "a new scorecard")
        find = partial(stored, pipeline, kinds or ["scorecard"]) if show else partial(evidence, pipeline, kinds, quiet=json)
        tables = find(split=split, rows=rows, overrides=set_ or [])
    else:
        _refuse({"--scorer": scorer, "--probability": probability}, "a table of predictions")
        found = partial(scorecard, pipeline, split=split, rows=rows, against=against or [], baselines=baselines, k=k)
        tables = {"scorecard": found(predictions=predictions, overrides=set_ or [], quiet=json)}
    _print(tables, json=json)


def is_table(source: str) -> bool:
    """Whether a source is a table of predictions."""
    from score_rag.evaluation.predictions import is_predictions

    return is_predictions(source)


def of_file(path: str, *, scorers: list[str], probabilities: list[str], against: list[str], k: int) -> Scorecard:
    """Evaluate a table of predictions."""
    from score_rag.evaluation.evaluate_file import evaluate_file

    if len(against) > 1:
        raise InputError("a table of predictions is tested against one of its scorers", where="--against", found=", ".join(against))
    return evaluate_file(path, scorers=scorers, probabilities=probabilities, reference=next(iter(against), None), k=k)


def scorecard(
    name: str,
    *,
    split: str | None,
    rows: int | None,
    against: list[str],
    baselines: bool,
    overrides: list[str],
    quiet: bool,
    predictions: Path | None = None,
    k: int = 10,
) -> Scorecard:
    """Evaluate, with bars."""
    from score_rag.cli.screen import bars
    from score_rag.evaluation.evaluate import evaluate_run
    from score_rag.pipeline.config import load_pipeline

    with bars(quiet=quiet) as report:
        pipeline = load_pipeline(name, overrides=overrides)
        return evaluate_run(
            pipeline, split=split, rows=rows, against=against, baselines=baselines, predictions=predictions, k=k, report=report
        )


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


def _refuse(options: dict[str, Any], of: str) -> None:
    """Options that do not go with the rest."""
    if given := [name for name, value in options.items() if value]:
        raise InputError(f"these options are of {of}", where=", ".join(given), hint="leave them out")


def _print(tables: dict[str, Any], *, json: bool) -> None:
    from score_rag.cli.screen import print_json, print_table

    if json and len(tables) > 1:
        # One table is told as it is, several by their names.
        print_json({name: table.to_dict() for name, table in tables.items()})
        return
    for table in tables.values():
        print_table(table, json=json)
