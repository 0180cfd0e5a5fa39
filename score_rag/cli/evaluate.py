"""`score-rag evaluate`: a finished run on held-out events, beside what it must beat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from score_rag.cli.options import Json, PipelineName, Set

if TYPE_CHECKING:
    from score_rag.evaluation.scorecard import Scorecard

__all__ = ["evaluate", "scorecard"]


def evaluate(
    pipeline: PipelineName,
    split: Annotated[str | None, typer.Option(help="train, valid or test; by default as the pipeline says.")] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="At most so many events, as whole users.")] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            help="Test against: no-ci (the same predictor without other users, tuned now if need be), item-average, or a pipeline. "
            "Given again: a row more; tests are against the first."
        ),
    ] = None,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Add every conventional recommender (fitted now if need be), and full ranking.")
    ] = False,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Print AUC and UAUC of a finished run, with intervals, beside rows that need no learning."""
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
