"""`score-rag pipelines`: the experiments that users edit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from score_rag.cli.options import Json, Set

__all__ = ["app", "shown"]

app = typer.Typer(no_args_is_help=True, help="List and show pipelines.", rich_markup_mode=None)


@app.command("list")
def list_(json: Json = False) -> None:
    """List pipelines with their descriptions."""
    from rich.markup import escape

    from score_rag.cli.places import hides, told
    from score_rag.cli.screen import console, print_json
    from score_rag.pipeline.config import load_pipeline, pipeline_folders, pipeline_names

    found = [load_pipeline(name) for name in pipeline_names()]
    hidden = [hides(p.path, pipeline_folders()) for p in found]
    if json:
        facts = [{"name": p.name, "path": str(p.path), "description": p.description} for p in found]
        print_json([{**one, "hides": also} for one, also in zip(facts, hidden, strict=True)])
        return
    for pipeline, also in zip(found, hidden, strict=True):
        name, path, about = (escape(str(one)) for one in (pipeline.name, pipeline.path, pipeline.description))
        console().print(f"[bold]{name}[/]  [dim]{path}{told(also)}[/]\n  {about}", soft_wrap=True)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A pipeline's name or path.")],
    full: Annotated[bool, typer.Option("--full", help="Print every setting with its value and meaning, as YAML.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Print what differs from the defaults.")] = False,
    set_: Set = None,
) -> None:
    """Print a pipeline file, all its settings, or what differs from the defaults."""
    typer.echo(shown(name, full=full, diff=diff, overrides=set_ or []), nl=False)


def shown(name: str, *, full: bool, diff: bool, overrides: Sequence[str]) -> str:
    """What `show` prints.

    Raises:
        InputError: Both `full` and `diff`, or changed settings with neither.
    """
    from score_rag.errors import InputError
    from score_rag.pipeline.config import load_pipeline
    from score_rag.pipeline.show import changed_settings, full_yaml

    pipeline = load_pipeline(name, overrides=overrides)
    if full and diff:
        raise InputError("--full and --diff exclude each other", expected="one of them")
    if full:
        return full_yaml(pipeline)
    if diff:
        return "".join(f"{setting}: {default} → {value}\n" for setting, (default, value) in changed_settings(pipeline).items())
    if overrides:
        raise InputError("a file is printed as it is", found="--set", hint="add --full or --diff")
    return pipeline.path.read_text(encoding="utf-8") if pipeline.path else ""
