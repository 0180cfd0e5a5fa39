"""`score-rag feedback`: what came in since the training, how well answers foretold it, and what of it is to be forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from score_rag.cli.options import Json, PipelineName, Set

if TYPE_CHECKING:
    from score_rag.feedback.changes import Compacted
    from score_rag.pipeline.config import Pipeline
    from score_rag.serve.report import FeedbackReport

__all__ = ["app", "exported", "forgotten", "reported"]

app = typer.Typer(no_args_is_help=True, help="Report on a run's feedback, export it, forget some of it.", rich_markup_mode=None)


@app.command()
def report(pipeline: PipelineName, set_: Set = None, json: Json = False) -> None:
    """Join judgements with the answers that they name: P(like) as it was told, and what was liked."""
    from rich.table import Table

    from score_rag.cli.screen import console, print_json

    found = reported(pipeline, set_ or [])
    if json:
        print_json(found.to_dict())
        return
    screen = console()
    screen.print(
        f"{found.feedback:,} judgements; {found.named:,} name an answer (request_id); "
        f"{found.joined:,} of those join one of the {found.requests:,} answers kept"
    )
    if found.damaged:
        screen.print(f"{found.damaged:,} lines of the log are damaged and left out", style="red")
    if found.rows:
        table = Table("route", "judgements", "P(like) told", "liked", "log-loss", "AUC (95 %)")
        for row in found.rows:
            auc = "–" if row.auc is None else "{:.3f} ({:.3f} to {:.3f})".format(*row.auc)
            table.add_row(row.route, f"{row.judged:,}", f"{row.told:.3f}", f"{row.liked:.3f}", f"{row.log_loss:.3f}", auc)
        screen.print(table)


def reported(name: str, overrides: list[str]) -> FeedbackReport:
    """Read and join."""
    from score_rag.pipeline.config import load_pipeline
    from score_rag.pipeline.fresh import open_feedback
    from score_rag.serve.report import report_feedback

    pipeline = load_pipeline(name, overrides=overrides)
    return report_feedback(open_feedback(pipeline).path.parent, seed=pipeline.seed)


@app.command()
def export(
    pipeline: PipelineName,
    file: Annotated[Path, typer.Argument(help="A .csv file to write: user_id, item_id, label, timestamp.")],
    set_: Set = None,
) -> None:
    """Write all feedback as a table, to be added to the data before the next training."""
    from score_rag.pipeline.config import load_pipeline

    typer.echo(f"{exported(load_pipeline(pipeline, overrides=set_ or []), file):,} judgements written to {file}")


def exported(pipeline: Pipeline, file: Path) -> int:
    """Write the table; how many rows it has.

    Raises:
        InputError: The file is there already.
    """
    import polars as pl

    from score_rag.errors import InputError
    from score_rag.files import write_text
    from score_rag.pipeline.fresh import open_feedback

    if file.exists():
        raise InputError("this file is there already; it is not overwritten", where=file, expected="another name")
    rows = [(one.user_id, one.item_id, int(one.liked), one.timestamp) for one in open_feedback(pipeline).current()]
    schema = {"user_id": pl.String(), "item_id": pl.String(), "label": pl.Int8(), "timestamp": pl.Int64()}
    write_text(file, pl.DataFrame(rows, schema=schema, orient="row").write_csv())
    return len(rows)


@app.command()
def forget(
    pipeline: PipelineName,
    user: Annotated[list[str] | None, typer.Option(metavar="ID", help="Forget all that this user sent. Repeatable.")] = None,
    event: Annotated[list[str] | None, typer.Option(metavar="ID", help="Forget one judgement, by its event id. Repeatable.")] = None,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Forget feedback of a user, and take it off the disk. The data's own files are not touched."""
    from score_rag.cli.remedies import program
    from score_rag.cli.screen import print_json

    ids, compacted = forgotten(pipeline, user or [], event or [], set_ or [])
    if json:
        print_json({"forgotten": ids, "kept": compacted.kept, "damaged_lines_removed": compacted.damaged})
        return
    typer.echo(f"{len(ids):,} judgements are forgotten: {_told(compacted)}")
    typer.echo(f"the serving index tells of them until: {program()} index update {pipeline}")


def forgotten(name: str, users: list[str], events: list[str], overrides: list[str]) -> tuple[list[str], Compacted]:
    """Forget, then write the log anew without what was forgotten; also where an earlier call came no further than the first.

    Raises:
        InputError: Nothing is named.
    """
    from score_rag.errors import InputError
    from score_rag.pipeline.config import load_pipeline
    from score_rag.pipeline.fresh import open_feedback

    if not users and not events:
        raise InputError("say whose feedback to forget", expected="--user ID, or --event ID")
    log = open_feedback(load_pipeline(name, overrides=overrides))
    ids = log.forget(events)
    for user in dict.fromkeys(users):
        ids += log.forget(user_id=user)
    return ids, log.compact()


@app.command()
def compact(pipeline: PipelineName, set_: Set = None, json: Json = False) -> None:
    """Write the log anew without what was forgotten, overwritten or damaged, so that no line of it is left on the disk."""
    from score_rag.cli.screen import print_json
    from score_rag.pipeline.config import load_pipeline
    from score_rag.pipeline.fresh import open_feedback

    done = open_feedback(load_pipeline(pipeline, overrides=set_ or [])).compact()
    if json:
        print_json({"kept": done.kept, "removed_lines": done.removed, "damaged_lines_removed": done.damaged})
        return
    typer.echo(_told(done))


def _told(done: Compacted) -> str:
    damaged = f", {done.damaged:,} of them damaged" if done.damaged else ""
    return f"the log was written anew with {done.kept:,} judgements; {done.removed:,} lines left the disk{damaged}"
