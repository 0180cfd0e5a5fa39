"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["Json", "PipelineName", "Set"]

PipelineName = Annotated[str, typer.Argument(help="A pipeline's name (see: score-rag pipelines list) or a path to a YAML file.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting: section.key=value. Repeatable.")]
Json = Annotated[bool, typer.Option("--json", help="Print only JSON.")]
