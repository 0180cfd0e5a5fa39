"""`score-rag status`: how each stage of a run stands."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from score_rag.cli.options import Json, PipelineName, Set

if TYPE_CHECKING:
    from score_rag.pipeline.state import StageStatus

__all__ = ["stage_states", "status"]


def status(
    pipeline: PipelineName,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every file of the stages, and the data again: are they as they were?")
    ] = False,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Show which stages are finished, stale (and why) or missing."""
    from score_rag.cli.screen import console, print_json

    found = stage_states(pipeline, set_ or [], verify=verify)
    if json:
        print_json([asdict(stage) for stage in found])
    else:
        show(found, verified=verify)
        if told := at_work(pipeline, set_ or []):
            console().print(f"at work: {told}", soft_wrap=True, markup=False)
    if verify and any(stage.state == "stale" for stage in found):
        raise typer.Exit(1)


def stage_states(name: str, overrides: list[str], *, verify: bool = False) -> list[StageStatus]:
    """The stages of a pipeline as they stand; `verify` reads every file."""
    from score_rag.pipeline.config import load_pipeline
    from score_rag.pipeline.stages import stages
    from score_rag.pipeline.state import status as stage_status

    pipeline = load_pipeline(name, overrides=overrides)
    return stage_status(pipeline, stages(pipeline), read=verify)


def at_work(name: str, overrides: list[str]) -> str:
    """Which process writes to the run now; empty where none does."""
    from score_rag.files import writer_of
    from score_rag.pipeline.config import load_pipeline
    from score_rag.pipeline.state import run_folder

    return writer_of(run_folder(load_pipeline(name, overrides=overrides)))


def show(found: list[StageStatus], *, verified: bool = False) -> None:
    """One line a stage, and after every file was read, whether they are as they were."""
    from rich.markup import escape

    from score_rag.cli.run import facts, guard_lines
    from score_rag.cli.screen import console

    colour = {"finished": "green", "stale": "yellow", "missing": "dim"}
    screen = console()
    for stage in found:
        told = f" [dim]({escape(stage.reason)})[/]" if stage.reason else ""
        screen.print(f"{stage.name:<10} [{colour[stage.state]}]{stage.state}[/]{told} {escape(facts(stage.metrics))}".rstrip())
        for warning in guard_lines(stage.metrics):
            screen.print(f"           [bold red]✗ {escape(warning)}[/]", soft_wrap=True)
    whole = [stage.name for stage in found if stage.state == "finished"]
    if verified and whole and not any(stage.state == "stale" for stage in found):
        screen.print(f"every file of {', '.join(whole)} is what was written", soft_wrap=True)
