"""`score-rag ingest`: a file of judgements becomes known to what answers, without training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from score_rag.cli.options import Json, PipelineName, Set

if TYPE_CHECKING:
    from score_rag.feedback.changes import Appended

__all__ = ["ingest", "ingested"]


def ingest(
    pipeline: PipelineName,
    file: Annotated[Path, typer.Argument(help="Judgements, in the form of the pipeline's events; otherwise CSV, Parquet or JSON lines.")],
    items: Annotated[str | None, typer.Option(help="A file beside it that tells of new items.")] = None,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Add judgements from a file to a run's feedback: known to every answer at once, to the index by `index update`, to no model."""
    done, facts = ingested(pipeline, file, items=items, overrides=set_ or [], quiet=json)
    if json:
        from score_rag.cli.screen import print_json

        print_json(facts)
        return
    from score_rag.cli.remedies import program

    typer.echo(f"{len(done.added):,} judgements are new, {len(done.replaced):,} changed, {len(done.known):,} were known")
    for line in facts["notes"]:
        typer.echo(f"  {line}")
    typer.echo(f"answers know them now; other users find them after: {program()} index update {pipeline}")


def ingested(name: str, file: Path, *, items: str | None, overrides: list[str], quiet: bool = False) -> tuple[Appended, dict[str, Any]]:
    """Read and write down, with bars; and what `--json` prints."""
    from score_rag.cli.screen import bars
    from score_rag.feedback.ingest import read_feedback
    from score_rag.pipeline.config import load_pipeline
    from score_rag.pipeline.fresh import open_feedback
    from score_rag.pipeline.state import finished_folder

    chosen = load_pipeline(name, overrides=overrides)
    finished_folder(chosen, "data")
    with bars(quiet=quiet) as report:
        found, account = read_feedback(file, chosen.data, items=items, progress=report)
        done = open_feedback(chosen).append(found, overwrite=True)
    notes = [line for line in account.lines() if "catalogue" not in line]
    return done, {"added": len(done.added), "changed": len(done.replaced), "known": len(done.known), "notes": notes}
