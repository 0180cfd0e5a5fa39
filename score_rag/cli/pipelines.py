"""`score-rag pipelines`: the experiments that users edit."""

from __future__ import annotations

from typing import Annotated

import typer

from score_rag.cli.options import Json

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="List and show pipelines.", rich_markup_mode=None)


@app.command("list")
def list_(json: Json = False) -> None:
    """List pipelines with their descriptions."""
    from score_rag.cli.screen import console, print_json
    from score_rag.pipeline.config import load_pipeline, pipeline_names

    found = [load_pipeline(name) for name in pipeline_names()]
    if json:
        print_json([{"name": p.name, "path": str(p.path), "description": p.description} for p in found])
        return
    for pipeline in found:
        console().print(f"[bold]{pipeline.name}[/]  [dim]{pipeline.path}[/]\n  {pipeline.description}")


@app.command()
def show(name: Annotated[str, typer.Argument(help="A pipeline's name or path.")]) -> None:
    """Print a pipeline file."""
    from score_rag.pipeline.config import load_pipeline

    path = load_pipeline(name).path
    typer.echo(path.read_text(encoding="utf-8") if path else "", nl=False)
