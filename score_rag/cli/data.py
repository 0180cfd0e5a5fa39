"""`score-rag data`: sources, public data sets, a summary of a pipeline's data, and the temporal leakage check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from score_rag.cli.options import Json, PipelineName, Set

if TYPE_CHECKING:
    from score_rag.audit import Audit
    from score_rag.data.describe import DataSummary
    from score_rag.data.fetch import Fetched

__all__ = ["app", "facts", "fetch_data", "listing", "look_for_leaks", "summarise", "write_guess"]

app = typer.Typer(no_args_is_help=True, help="List, download, summarise and check data sets.", rich_markup_mode=None)


@app.command("list")
def list_(json: Json = False) -> None:
    """List the data sources, and the public data sets that can be downloaded."""
    from rich.markup import escape

    from score_rag.cli.screen import console, print_json

    found = listing()
    if json:
        print_json(found)
        return
    screen = console()
    screen.print("[bold]sources[/] (data.source in a pipeline file):")
    for source in found["sources"]:
        screen.print(f"  [bold]{escape(source['name'])}[/]  {escape(source['about'])}", soft_wrap=True)
    screen.print("\n[bold]public data sets[/] (score-rag data fetch NAME):")
    for dataset in found["datasets"]:
        screen.print(f"  [bold]{dataset['name']}[/]  {escape(dataset['about'])}\n    [dim]{escape(dataset['licence'])}[/]", soft_wrap=True)


def listing() -> dict[str, list[dict[str, str]]]:
    """Sources by the word of `data.source`, and data sets by the name that `fetch` takes."""
    from score_rag.data import SOURCES
    from score_rag.data.datasets import DATASETS

    return {
        "sources": [{"name": name, "about": SOURCES[name].about} for name in SOURCES.names()],
        "datasets": [{"name": d.name, "about": d.about, "source": d.source, "licence": d.licence} for d in DATASETS.values()],
    }


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A data set (see: score-rag data list), or amazon-YEAR:CATEGORY.")],
    into: Annotated[Path | None, typer.Option(help="Parent folder of the data sets. Default: data/ in the home.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Download again and replace the folder.")] = False,
    mirror: Annotated[str | None, typer.Option(help="Download from this host, not the publisher's (or set SCORE_RAG_MIRROR).")] = None,
    json: Json = False,
) -> None:
    """Download, verify and unpack a public data set. Existing files are kept; an interrupted download resumes."""
    fetched = fetch_data(name, into=into, force=force, mirror=mirror, quiet=json)
    if json:
        from score_rag.cli.screen import print_json

        print_json(facts(fetched))


def fetch_data(name: str, *, into: Path | None, force: bool, mirror: str | None, quiet: bool) -> Fetched:
    """Fetch, then tell where it is, what may be done with it, and how to use it."""
    from score_rag.cli.remedies import options, program
    from score_rag.cli.screen import bars
    from score_rag.data.fetch import fetch as fetch_dataset
    from score_rag.files import at_home

    with bars(quiet=quiet) as report:
        fetched = fetch_dataset(name, at_home("data") if into is None else into, report=report, force=force, mirror=mirror)
    if not quiet:
        typer.echo(f"{fetched.name} is {'there already' if fetched.already else 'there'}: {fetched.folder}")
        for line in (*fetched.checked, f"licence: {fetched.licence}"):
            typer.echo(f"  {line}")
        typer.echo(f"\nIn a pipeline file:\n\n{fetched.yaml}\nor: {program()} run PIPELINE {options(fetched.settings)}")
    return fetched


def facts(fetched: Fetched) -> dict[str, Any]:
    """What `--json` prints."""
    return {
        "name": fetched.name,
        "folder": str(fetched.folder),
        "files": [str(file) for file in fetched.files],
        "source": fetched.source,
        "licence": fetched.licence,
        "checked": list(fetched.checked),
        "already": fetched.already,
    }


@app.command()
def guess(
    files: Annotated[list[Path], typer.Argument(help="A file of events, and one of items where there is one; or their folder.")],
    out: Annotated[Path | None, typer.Option(help="Write the pipeline file here, not to the screen.")] = None,
) -> None:
    """Look at files and write the pipeline file that reads them: separator, header, quotes, times, columns; what was assumed is said."""
    from score_rag.data.guess_files import guess_files

    found = guess_files(files).to_yaml()
    if out is None:
        typer.echo(found, nl=False)
        return
    written = write_guess(found, out)
    typer.echo(f"written to {written}; check what was assumed there, then: score-rag data show {written}")


def write_guess(text: str, out: Path) -> Path:
    """Write a pipeline file that is not there yet.

    Raises:
        InputError: It is there.
    """
    from score_rag.errors import InputError
    from score_rag.files import write_text

    if out.exists():
        raise InputError("this file is there already; it is not overwritten", where=out, expected="another name for --out")
    write_text(out, text)
    return out


@app.command()
def show(
    pipeline: PipelineName,
    plot: Annotated[Path | None, typer.Option(help="Also plot the data to this PNG file.")] = None,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Summarise a pipeline's data: sizes, dates, density, like rates, ties, cold-start shares, text coverage. Needs no run."""
    summary = summarise(pipeline, picture=plot, overrides=set_ or [], quiet=json)
    from score_rag.cli.screen import console, print_json

    if json:
        print_json(summary.to_dict())
        return
    for table in summary.to_tables():
        console().print(table)
    if plot is not None:
        typer.echo(f"plot written to {plot}")


def summarise(name: str, *, picture: Path | None, overrides: list[str], quiet: bool) -> DataSummary:
    """Read and describe, with bars; draw where a picture is asked for."""
    from score_rag.cli.screen import bars
    from score_rag.data.describe import describe
    from score_rag.pipeline.config import load_pipeline
    from score_rag.pipeline.stages import load_data

    pipeline = load_pipeline(name, overrides=overrides)
    with bars(quiet=quiet) as progress:
        interactions, report = load_data(pipeline, progress=progress)
        if picture is not None:
            from score_rag.data.plot import plot as draw

            draw(interactions, picture, title=pipeline.name)
        return describe(interactions, report, history=pipeline.data.history)


@app.command()
def check(
    pipeline: PipelineName,
    sample: Annotated[int, typer.Option(min=1, help="How many questions, histories and documents to sample.")] = 300,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Temporal leakage check of the data and of every finished stage. Exits with status 1 if it finds a violation."""
    found = look_for_leaks(pipeline, sample=sample, overrides=set_ or [], quiet=json)
    if json:
        from score_rag.cli.screen import print_json

        print_json(found.to_dict())
    else:
        for line in found.lines():
            typer.echo(line)
    if not found.ok:
        raise typer.Exit(1)


def look_for_leaks(name: str, *, sample: int, overrides: list[str], quiet: bool) -> Audit:
    """Audit a pipeline, with bars."""
    from score_rag.audit import audit
    from score_rag.cli.screen import bars
    from score_rag.pipeline.config import load_pipeline

    with bars(quiet=quiet) as report:
        return audit(load_pipeline(name, overrides=overrides), sample=sample, report=report)
