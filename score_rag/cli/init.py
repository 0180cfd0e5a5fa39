"""`score-rag init`: copies of prompts and pipelines to edit; they win over the shipped ones where their folder is the home."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["copy_shipped", "init"]


def init(
    folder: Annotated[Path | None, typer.Argument(help="Target folder. Default: the home.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite changed files.")] = False,
) -> None:
    """Copy the shipped prompts and pipelines into a folder for editing."""
    from score_rag.files import HOME, home

    target = home() if folder is None else folder
    for line in copy_shipped(target, force=force):
        typer.echo(line)
    if target.resolve() != home().resolve():
        typer.echo(f"to use them: score-rag --home {shlex.quote(str(target))} COMMAND, or {HOME}={shlex.quote(str(target.resolve()))},")
        typer.echo("or from within that folder; runs/ and data/ are then looked for there too")


def copy_shipped(folder: Path, *, force: bool = False) -> list[str]:
    """Copy what is not there yet; say what was done with each file."""
    from score_rag.files import shipped_folder, write_text

    said = []
    for kind, pattern in (("prompts", "*.md"), ("pipelines", "*.yaml")):
        for source in sorted(shipped_folder(kind).glob(pattern)):
            target = folder / kind / source.name
            text = source.read_text(encoding="utf-8")
            if target.exists() and target.resolve() != source.resolve() and target.read_text(encoding="utf-8") != text and not force:
                said.append(f"kept    {target} (yours differs; --force overwrites)")
            elif target.exists() and target.read_text(encoding="utf-8") == text:
                said.append(f"same    {target}")
            else:
                write_text(target, text)
                said.append(f"wrote   {target}")
    return said
