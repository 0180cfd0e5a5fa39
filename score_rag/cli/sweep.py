"""`score-rag sweep`: a pipeline at many values of its settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from score_rag.cli.options import Json, PipelineName
from score_rag.errors import InputError

if TYPE_CHECKING:
    from score_rag.evaluation.ablate.results import Result
    from score_rag.evaluation.sweep.table import SweepTable

__all__ = ["sweep", "swept"]

By = Literal["auc", "uauc", "log_loss"]


def sweep(
    pipeline: PipelineName,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUES",
            help="Sweep a setting: section.key=VALUE,VALUE,... (with --search also LOW..HIGH). One value is for all points. Repeatable.",
        ),
    ] = None,
    list_: Annotated[Path | None, typer.Option("--list", metavar="FILE", help="Points from a YAML list of mappings KEY: VALUE.")] = None,
    search: Annotated[int | None, typer.Option(min=1, help="Let Optuna choose this many points instead of a grid.")] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Evaluate at most this many validation events (whole users).")] = None,
    by: Annotated[By, typer.Option(help="What the best point is best in.")] = "auc",
    retrain: Annotated[
        bool,
        typer.Option("--retrain", help="Train later stages anew for serving settings too (Ke, Ks); otherwise the finished run is asked."),
    ] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the curves into this PNG.")] = None,
    json: Json = False,
) -> None:
    """Sweep settings on validation events: a grid, a list or a search. Serving settings retrain nothing; shared stages run once."""
    from score_rag.cli.screen import print_table

    table = swept(pipeline, set_ or [], list_, search, rows=rows, by=by, retrain=retrain, plot=plot, quiet=json)
    print_table(table, json=json)
    if table.failed:
        raise typer.Exit(1)


def swept(
    name: str,
    sets: list[str],
    points: Path | None,
    trials: int | None,
    *,
    rows: int | None,
    by: By,
    retrain: bool,
    plot: Path | None,
    quiet: bool,
) -> SweepTable:
    """Sweep, with bars and a line for each point; then draw."""
    from score_rag.cli.screen import bars
    from score_rag.evaluation.sweep.plot import plot_sweep
    from score_rag.evaluation.sweep.search import search
    from score_rag.evaluation.sweep.space import assignments, grid, read_axis, read_list
    from score_rag.evaluation.sweep.sweep import sweep as ask_points

    axes = [read_axis(text) for text in sets]
    fixed = assignments({axis.name: axis.values[0] for axis in axes if len(axis.values) == 1})
    axes = [axis for axis in axes if len(axis.values) != 1]
    if points is not None and (axes or trials is not None):
        raise InputError("a list names its points itself", where="--list", expected="no swept --set, no --search beside it")
    if plot is not None and plot.suffix.lower() != ".png":
        raise InputError("pictures are written as PNG", where=plot, expected="a name such as sweep.png", found=plot.name)
    with bars(quiet=quiet) as report:
        how: dict[str, Any] = {"overrides": fixed, "rows": rows, "by": by, "retrain": retrain, "report": report, "tell": _teller(quiet)}
        if trials is not None:
            table = search(name, axes, trials, **how)
        else:
            table = ask_points(name, read_list(points) if points is not None else grid(axes), **how)
    return table if plot is None else table.noted([f"drawn into {plot_sweep(table, plot)}"])


def _teller(quiet: bool) -> Any:
    from rich.markup import escape

    from score_rag.cli.screen import console

    screen = console(error=True)

    def tell(values: Mapping[str, Any], result: Result) -> None:
        if not quiet:
            told = escape(", ".join(f"{name} {value}" for name, value in values.items()))
            screen.print(f"[red]✗[/] {told}: {escape(result.failed)}" if result.failed else f"[green]✓[/] {told}", soft_wrap=True)

    return tell
