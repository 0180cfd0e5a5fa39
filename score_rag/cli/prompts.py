"""`score-rag prompts`: the texts that users edit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from score_rag.cli.options import Json, Set

if TYPE_CHECKING:
    from score_rag.errors import PromptError
    from score_rag.prompts import Prompt

__all__ = ["app", "read_all"]

app = typer.Typer(no_args_is_help=True, help="List, show, check and preview prompts.", rich_markup_mode=None)
Name = Annotated[str, typer.Argument(help="A prompt's name, or a path to a Markdown file.")]


@app.command("list")
def list_(json: Json = False) -> None:
    """List prompts: purpose, the file in use, and those that it hides."""
    from rich.markup import escape

    from score_rag.cli.places import hides, told
    from score_rag.cli.screen import console, print_json
    from score_rag.prompts import prompt_folders

    found, wrong = read_all()
    hidden = [hides(p.path, prompt_folders()) for p in found]
    if json:
        facts = [{"name": p.name, "path": str(p.path), "sha256": p.sha256, "description": p.description} for p in found]
        print_json([{**one, "hides": also} for one, also in zip(facts, hidden, strict=True)])
    else:
        for prompt, also in zip(found, hidden, strict=True):
            name, path, about = (escape(str(one)) for one in (prompt.name, prompt.path, prompt.description))
            console().print(f"[bold]{name}[/]  [dim]{path}{told(also)}[/]\n  {about}", soft_wrap=True)
    _tell(wrong)


@app.command()
def show(name: Name) -> None:
    """Print a prompt file."""
    from score_rag.prompts import find_prompt

    typer.echo(find_prompt(name).path.read_text(encoding="utf-8"), nl=False)


@app.command()
def check(name: Annotated[str | None, typer.Argument(help="A prompt. Default: all.")] = None) -> None:
    """Check prompts by filling them in: with everything known, and with next to nothing."""
    from score_rag.errors import PromptError
    from score_rag.recommend.prompt_kinds import check_prompt

    found, wrong = read_all(name)
    for prompt in found:
        try:
            typer.echo(f"ok: {prompt.path} ({check_prompt(prompt)})")
        except PromptError as error:
            wrong.append(error)
    _tell(wrong)


def read_all(name: str | None = None) -> tuple[list[Prompt], list[PromptError]]:
    """(the prompts, what is wrong with the malformed ones), of one prompt or all.

    Raises:
        InputError: There is no such prompt.
    """
    from score_rag.errors import PromptError
    from score_rag.prompts import find_prompt, prompt_names

    found, wrong = [], []
    for one in [name] if name else prompt_names():
        try:
            found.append(find_prompt(one))
        except PromptError as error:
            wrong.append(error)
    return found, wrong


def _tell(wrong: list[PromptError]) -> None:
    """Show every error; the last one ends the command."""
    from score_rag.cli.screen import show_error

    for error in wrong[:-1]:
        show_error(error)
    if wrong:
        raise wrong[-1]


@app.command()
def preview(
    name: Name = "predict",
    pipeline: Annotated[str, typer.Option(help="A pipeline whose run is finished.")] = "sample",
    user: Annotated[str, typer.Option(help="A user id.")] = "42",
    item: Annotated[str, typer.Option(help="An item id or name.")] = "17",
    set_: Set = None,
) -> None:
    """Render a prompt for a real user and item."""
    from score_rag.pipeline.config import load_pipeline
    from score_rag.recommend.preview import preview_prompt

    typer.echo(preview_prompt(load_pipeline(pipeline, overrides=set_ or []), name, user, item))
