"""`score-rag prompts`: the texts that users edit."""

from __future__ import annotations

from typing import Annotated

import typer

from score_rag.cli.options import Json, Set

__all__ = ["app", "check_all"]

app = typer.Typer(no_args_is_help=True, help="List, show, check and preview prompts.", rich_markup_mode=None)
Name = Annotated[str, typer.Argument(help="A prompt's name, or a path to a Markdown file.")]


@app.command("list")
def list_(json: Json = False) -> None:
    """List prompts: what each is for, and which file is used."""
    from score_rag.cli.screen import console, print_json
    from score_rag.prompts import find_prompt, prompt_names

    found = [find_prompt(name) for name in prompt_names()]
    if json:
        print_json([{"name": p.name, "path": str(p.path), "sha256": p.sha256, "description": p.description} for p in found])
        return
    for prompt in found:
        console().print(f"[bold]{prompt.name}[/]  [dim]{prompt.path}[/]\n  {prompt.description}")


@app.command()
def show(name: Name) -> None:
    """Print a prompt file."""
    from score_rag.prompts import find_prompt

    typer.echo(find_prompt(name).path.read_text(encoding="utf-8"), nl=False)


@app.command()
def check(name: Annotated[str | None, typer.Argument(help="A prompt; all of them by default.")] = None) -> None:
    """Check that prompts are well-formed and use declared variables only."""
    for line in check_all(name):
        typer.echo(line)


def check_all(name: str | None = None) -> list[str]:
    """Check one prompt or all.

    Raises:
        PromptError: The first malformed one.
    """
    from score_rag.prompts import find_prompt, prompt_names

    return [f"ok: {prompt.path}" for prompt in map(find_prompt, [name] if name else prompt_names())]


@app.command()
def preview(
    name: Name = "predict",
    pipeline: Annotated[str, typer.Option(help="A pipeline whose run is finished.")] = "sample",
    user: Annotated[str, typer.Option(help="A user of the data.")] = "42",
    item: Annotated[str, typer.Option(help="An item, by id or name.")] = "17",
    set_: Set = None,
) -> None:
    """Fill in a prompt, as it is in the file now, with a real user and item."""
    from score_rag.config import load_pipeline
    from score_rag.recommend import preview_prompt

    typer.echo(preview_prompt(load_pipeline(pipeline, overrides=set_ or []), name, user, item))
