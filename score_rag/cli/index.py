"""`score-rag index`: the store of behaviour documents that answers now, kept up to date without training."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from score_rag.cli.options import Json, PipelineName, Set

if TYPE_CHECKING:
    from score_rag.index.writer import Written
    from score_rag.pipeline.serving_index import Checked

__all__ = ["app", "checked", "facts", "written"]

app = typer.Typer(no_args_is_help=True, help="Build, update and check the serving index of behaviour documents.", rich_markup_mode=None)
Folder = Annotated[Path | None, typer.Option(help="The index folder. Default: runs/NAME/index.")]


@app.command()
def build(pipeline: PipelineName, folder: Folder = None, set_: Set = None, json: Json = False) -> None:
    """Build the serving index from everything the data source holds now, with the run's trained encoder."""
    _tell(written("build", pipeline, folder, set_ or [], quiet=json), json=json)


@app.command()
def update(pipeline: PipelineName, folder: Folder = None, set_: Set = None, json: Json = False) -> None:
    """Update the serving index from the data source; only changed users are embedded again."""
    _tell(written("update", pipeline, folder, set_ or [], quiet=json), json=json)


@app.command()
def rebuild(pipeline: PipelineName, folder: Folder = None, set_: Set = None, json: Json = False) -> None:
    """Rebuild an index from its documents and encoder. For the run's own index: --folder runs/NAME/retriever/index."""
    _tell(written("rebuild", pipeline, folder, set_ or [], quiet=json), json=json)


@app.command()
def check(pipeline: PipelineName, folder: Folder = None, set_: Set = None, json: Json = False) -> None:
    """Check the run's own index and the serving index: files, vectors, store, staleness. Exits with status 1 on a fault."""
    found = checked(pipeline, folder, set_ or [], quiet=json)
    if json:
        from score_rag.cli.screen import print_json

        print_json({str(one.folder): facts(one) for one in found})
    else:
        show(found)
    if not all(one.ok for one in found):
        raise typer.Exit(1)


def written(
    what: Literal["build", "update", "rebuild"], name: str, folder: Path | None, overrides: list[str], *, quiet: bool = False
) -> Written:
    """Build, update or rebuild, with bars."""
    from score_rag.cli.screen import bars
    from score_rag.pipeline import serving_index
    from score_rag.pipeline.config import load_pipeline

    deed = {"build": serving_index.build, "update": serving_index.update, "rebuild": serving_index.rebuild}[what]
    with bars(quiet=quiet) as report:
        return deed(load_pipeline(name, overrides=overrides), folder, report=report)


def checked(name: str, folder: Path | None, overrides: list[str], *, quiet: bool = False) -> list[Checked]:
    """Check, with bars."""
    from score_rag.cli.screen import bars
    from score_rag.pipeline import serving_index
    from score_rag.pipeline.config import load_pipeline

    with bars(quiet=quiet) as report:
        return serving_index.check(load_pipeline(name, overrides=overrides), folder, report=report)


def _tell(done: Written, *, json: bool) -> None:
    from score_rag.cli.screen import console, print_json

    if json:
        print_json(asdict(done))
        return
    gone = f", {done.deleted:,} users forgotten" if done.deleted else ""
    console().print(
        f"generation {done.generation}: {done.documents:,} documents of {done.users:,} users, {done.embedded:,} texts embedded{gone}",
        soft_wrap=True,
    )


def facts(checked: Checked) -> dict[str, Any]:
    """What `--json` prints of an index: its findings, and the command to type next where there is one."""
    findings = [asdict(finding) for finding in checked.findings]
    return {"ok": checked.ok, "findings": findings, "next": next_command(checked)}


def next_command(checked: Checked) -> str | None:
    """The command that mends an index; None where nothing is wrong."""
    from score_rag.cli.remedies import command

    return None if checked.remedy is None else command(checked.remedy, pipeline=checked.pipeline)


def show(found: list[Checked]) -> None:
    """A line a finding, below the folder of its index."""
    from rich.markup import escape

    from score_rag.cli.screen import console

    screen = console()
    for one in found:
        screen.print(f"[bold]{escape(str(one.folder))}[/]", soft_wrap=True)
        for finding in one.findings:
            mark = "[green]ok   [/]" if finding.ok else "[red]wrong[/]"
            screen.print(f"  {mark} {finding.name:<10} {escape(finding.told)}", soft_wrap=True)
        if todo := next_command(one):
            screen.print(f"        {'next':<10} {escape(todo)}", soft_wrap=True)
