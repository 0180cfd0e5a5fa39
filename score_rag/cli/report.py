"""`score-rag report`: all that a run holds, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from score_rag.cli.options import PipelineName, Set

__all__ = ["report", "write_report"]


def report(
    pipeline: PipelineName,
    output: Annotated[Path | None, typer.Option(help="The file. Default: runs/NAME/report.html, or report.md.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Write Markdown, without charts.")] = False,
    set_: Set = None,
) -> None:
    """Write one page of what ran, on which data, every stored table and chart, examples, and cost; it opens from disk."""
    path = write_report(pipeline, output, markdown=markdown, overrides=set_ or [])
    typer.echo(f"report written to {path}")


def write_report(name: str, output: Path | None, *, markdown: bool, overrides: list[str]) -> Path:
    """Write, with bars; the file's path."""
    from score_rag.cli.screen import bars
    from score_rag.files import write_text
    from score_rag.pipeline.config import load_pipeline
    from score_rag.report.report import default_path, to_html, to_markdown, write_sections

    pipeline = load_pipeline(name, overrides=overrides)
    with bars() as progress:
        sections = write_sections(pipeline, report=progress)
        text = to_markdown(pipeline, sections) if markdown else to_html(pipeline, sections)
    path = output or default_path(pipeline, markdown=markdown)
    write_text(path, text)
    return path
