"""`score-rag data`: what can be read and fetched, what a pipeline's data is like, and whether anything leaks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from score_rag.cli.options import Json

if TYPE_CHECKING:
    from score_rag.data.fetch import Fetched

__all__ = ["app", "facts", "fetch_data", "listing"]

app = typer.Typer(no_args_is_help=True, help="List, fetch, show and check data.", rich_markup_mode=None)


@app.command("list")
def list_(json: Json = False) -> None:
    """List the sources that can be read, and the public data sets that can be fetched."""
    from score_rag.cli.screen import console, print_json

    found = listing()
    if json:
        print_json(found)
        return
    screen = console()
    screen.print("[bold]read[/] by data.source in a pipeline file:")
    for source in found["sources"]:
        screen.print(f"  [bold]{source['name']}[/]  {source['about']}", soft_wrap=True)
    screen.print("\n[bold]fetched[/] by score-rag data fetch NAME:")
    for dataset in found["datasets"]:
        screen.print(f"  [bold]{dataset['name']}[/]  {dataset['about']}\n    [dim]{dataset['licence']}[/]", soft_wrap=True)


def listing() -> dict[str, list[dict[str, str]]]:
    """Sources by the word of `data.source`, and data sets by the name that `fetch` takes."""
    from score_rag.data import SOURCES
    from score_rag.data.datasets import DATASETS

    return {
        "sources": [{"name": name, "about": about} for name, about in SOURCES.items()],
        "datasets": [{"name": d.name, "about": d.about, "source": d.source, "licence": d.licence} for d in DATASETS.values()],
    }


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A data set (see: score-rag data list), or amazon-YEAR:CATEGORY.")],
    into: Annotated[Path, typer.Option(help="The folder that holds data sets.")] = Path("data"),
    force: Annotated[bool, typer.Option("--force", help="Fetch again, and replace the whole folder.")] = False,
    mirror: Annotated[str | None, typer.Option(help="Ask this host instead of the publisher's; SCORE_RAG_MIRROR says the same.")] = None,
    json: Json = False,
) -> None:
    """Download, check and unpack a public data set. What is there already is left alone; a killed download goes on."""
    fetched = fetch_data(name, into=into, force=force, mirror=mirror, quiet=json)
    if json:
        from score_rag.cli.screen import print_json

        print_json(facts(fetched))


def fetch_data(name: str, *, into: Path, force: bool, mirror: str | None, quiet: bool) -> Fetched:
    """Fetch, then tell where it is, what may be done with it, and how to use it."""
    from score_rag.cli.screen import bars
    from score_rag.data.fetch import fetch as fetch_dataset

    with bars(quiet=quiet) as report:
        fetched = fetch_dataset(name, into, report=report, force=force, mirror=mirror)
    if not quiet:
        typer.echo(f"{fetched.name} is {'there already' if fetched.already else 'there'}: {fetched.folder}")
        for line in (*fetched.checked, f"licence: {fetched.licence}"):
            typer.echo(f"  {line}")
        typer.echo(f"\nIn a pipeline file:\n\n{fetched.yaml}\nor: score-rag run PIPELINE {fetched.options}")
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
