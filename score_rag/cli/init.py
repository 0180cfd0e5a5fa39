"""`score-rag init`: a pipeline file for files of one's own; or copies of prompts and pipelines to edit."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from score_rag.cli.options import Set
from score_rag.errors import InputError

if TYPE_CHECKING:
    from score_rag.pipeline.propose import Proposal

__all__ = ["copy_shipped", "init", "next_steps", "write_proposal"]


def init(
    folder: Annotated[list[Path] | None, typer.Argument(help="Target folder. Default: the home. With --data: further files.")] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", metavar="FILE...", help="Files of events and items, or their folder: write the pipeline that reads them."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="With --data: the pipeline's name. Default: that of the files' folder.")] = None,
    set_: Set = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite changed files.")] = False,
) -> None:
    """Write pipelines/NAME.yaml for files of your own (--data FILE...), with settings that suit their size; or, without --data, copy the
    shipped prompts and pipelines into a folder for editing. Copies win over the shipped ones where their folder is the home."""
    given = list(folder or ())
    if data:
        for line in write_proposal([*data, *given], name=name, overrides=set_ or [], force=force):
            typer.echo(line)
        return
    if name or set_ or len(given) > 1:
        raise InputError("without --data, init takes one folder and no settings", expected="score-rag init --data FILE..., or init FOLDER")
    for line in copy_all(given[0] if given else None, force=force):
        typer.echo(line)


def write_proposal(files: list[Path], *, name: str | None, overrides: list[str], force: bool) -> list[str]:
    """Write the pipeline file that suits these files; says what was assumed and which commands come next.

    Raises:
        InputError: A pipeline of this name is there already.
        DataError: The files cannot be read or learned from.
    """
    from score_rag.cli.screen import bars
    from score_rag.files import at_home, write_text
    from score_rag.pipeline.config import pipeline_names
    from score_rag.pipeline.propose import propose

    with bars() as progress:
        found = propose(files, name=name, overrides=overrides, progress=progress)
    target = at_home("pipelines") / f"{found.name}.yaml"
    if not force and (target.exists() or found.name in pipeline_names()):
        raise InputError(
            f"there is a pipeline {found.name!r} already",
            where=target if target.exists() else "the shipped pipelines",
            hint="another --name, or --force " + ("to overwrite it" if target.exists() else "to have yours win over it"),
        )
    write_text(target, found.text)
    return next_steps(found, target)


def next_steps(found: Proposal, target: Path) -> list[str]:
    """What was found, assumed and written, and what to type now."""
    from score_rag.cli.remedies import program

    name = shlex.quote(found.name)
    commands = (
        (f"data show {name}", "the data in numbers"),
        (f"run {name}", f"train all stages: {found.size.takes} on two cores; a first answer comes within seconds"),
        (f"recommend --pipeline {name} --user {shlex.quote(found.user)} --top 10", "user by user, as soon as run says so"),
        (f"evaluate {name}", "how good it is on held-out events"),
    )
    width = max(len(command) for command, _ in commands)
    return [
        f"read     {found.held}",
        *(f"assumed  {line}" for line in found.assumed),
        f"wrote    {target}: settings for {found.size.about}, each with its reason",
        "",
        "Is something assumed wrongly? Change it in that file. Then:",
        "",
        *(f"  {program()} {command:<{width}}  # {why}" for command, why in commands),
    ]


def copy_all(folder: Path | None, *, force: bool) -> list[str]:
    """Copy the shipped files; says how they are used where the folder is not the home."""
    from score_rag.files import HOME, home

    target = home() if folder is None else folder
    said = copy_shipped(target, force=force)
    if target.resolve() != home().resolve():
        said.append(f"to use them: score-rag --home {shlex.quote(str(target))} COMMAND, or {HOME}={shlex.quote(str(target.resolve()))},")
        said.append("or from within that folder; runs/ and data/ are then looked for there too")
    return said


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
