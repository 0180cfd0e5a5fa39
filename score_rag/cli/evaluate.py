"""`score-rag evaluate`: a finished run on held-out events, beside the baselines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from score_rag.cli.options import Json, PipelineName, Set

if TYPE_CHECKING:
    from score_rag.evaluation.scorecard import Scorecard

__all__ = ["evaluate", "scorecard"]


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
    set_: Set = None,
    json: Json = False,
) -> None:
    """Evaluate a finished run on held-out events: AUC and UAUC with confidence intervals, beside non-learned baselines."""
    card = scorecard(pipeline, split=split, rows=rows, against=against or [], baselines=baselines, overrides=set_ or [], quiet=json)
    if json:
        from score_rag.cli.screen import print_json

        print_json(card.to_dict())
    else:
        from score_rag.cli.screen import console

        console().print(card.to_table())


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
