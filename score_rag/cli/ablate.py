"""`score-rag ablate`: the full system less one part, or with another in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from score_rag.cli.options import Json, PipelineName, Set

if TYPE_CHECKING:
    from score_rag.evaluation.ablate.results import Result
    from score_rag.evaluation.ablate.table import AblationTable
    from score_rag.evaluation.ablate.variants import Variant

__all__ = ["ablate", "ablation"]


def ablate(
    pipeline: PipelineName,
    variants: Annotated[
        str,
        typer.Option(
            help="Names, parted by commas: no-ci, shuffled, without-KIND, random, semantic, collaborative, bm25, car, sare-assessment, "
            "sare-measured, sare-both, ci-first, ci-middle, ci-last ask the trained predictor otherwise (together: asked); NAME-trained "
            "trains one for it; soft-tokens, binary-codes, item-evidence (together: forms) are always trained for. "
            "Default: asked,no-ci-trained,forms."
        ),
    ] = "",
    split: Annotated[str | None, typer.Option(help="train, valid or test. Default: the pipeline's setting.")] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Evaluate at most this many events (whole users).")] = None,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Ablate a finished run: variants on the same questions, tested against the full system, with the cost of each. Killed, it goes on."""
    from score_rag.cli.screen import print_table

    table = ablation(pipeline, variants, split=split, rows=rows, overrides=set_ or [], quiet=json)
    print_table(table, json=json)
    if table.failed:
        raise typer.Exit(1)


def ablation(name: str, variants: str, *, split: str | None, rows: int | None, overrides: list[str], quiet: bool) -> AblationTable:
    """Ablate, with bars and a line for each variant."""
    from rich.markup import escape

    from score_rag.cli.screen import bars, console
    from score_rag.evaluation.ablate.ablation import ablate as ablate_run
    from score_rag.pipeline.config import load_pipeline

    screen = console(error=True)

    def tell(variant: Variant, result: Result) -> None:
        if not quiet:
            how = f"[red]✗[/] {variant.name}: {escape(result.failed)}" if result.failed else f"[green]✓[/] {variant.name}"
            screen.print(how, soft_wrap=True)

    names = [part.strip() for part in variants.split(",") if part.strip()]
    with bars(quiet=quiet) as report:
        return ablate_run(load_pipeline(name, overrides=overrides), names, split=split, rows=rows, report=report, tell=tell)
