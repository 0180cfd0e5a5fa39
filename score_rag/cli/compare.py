"""`score-rag compare`: runs and tables of predictions on the same events, and which differences are more than chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from score_rag.cli.options import Json, Set
from score_rag.errors import InputError

if TYPE_CHECKING:
    from score_rag.evaluation.comparison import Comparison

__all__ = ["compare", "comparison"]


def compare(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="Pipelines whose runs were evaluated (their last stored predictions are read), or tables of predictions "
            "(.parquet, .csv, .tsv). One table alone: its scorers are compared.",
        ),
    ],
    split: Annotated[str | None, typer.Option(help="Of runs: train, valid or test. Default: the pipeline's setting.")] = None,
    scorer: Annotated[
        list[str] | None, typer.Option(help="Of tables: a scorer to compare. Repeatable. Default: SCORE where there is one, else all.")
    ] = None,
    resamples: Annotated[int, typer.Option(min=100, help="Draws of users of the bootstrap.")] = 1000,
    permutations: Annotated[int, typer.Option(min=100, help="Random swaps of the permutation test.")] = 10_000,
    alpha: Annotated[float, typer.Option(min=0.0001, max=0.5, help="Significant: a p of at most this, after Holm's correction.")] = 0.05,
    seed: Annotated[int, typer.Option(help="Of draws and swaps.")] = 0,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Compare runs and tables of predictions on the same events: paired bootstrap and permutation tests, corrected for their number."""
    from score_rag.cli.screen import console, print_json

    if json and markdown:
        raise InputError("these options exclude each other", where="--json, --markdown")
    found = comparison(
        sources, split=split, scorers=scorer, overrides=set_, resamples=resamples, permutations=permutations, alpha=alpha, seed=seed
    )
    if json:
        print_json(found.to_dict())
    elif markdown:
        typer.echo(found.to_markdown(), nl=False)
    else:
        for table in found.tables():
            console().print(table)


def comparison(
    sources: list[str],
    *,
    split: str | None = None,
    scorers: list[str] | None = None,
    overrides: list[str] | None = None,
    resamples: int = 1000,
    permutations: int = 10_000,
    alpha: float = 0.05,
    seed: int = 0,
) -> Comparison:
    """Read, join, test."""
    from score_rag.evaluation.compare import compare as test
    from score_rag.evaluation.compare_sources import join, open_sources

    opened = open_sources(sources, split=split, scorers=scorers or [], overrides=overrides or [])
    return test(join(opened), resamples=resamples, permutations=permutations, alpha=alpha, seed=seed)
