"""The commands, gathered; and what happens to errors."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from score_rag.cli import (
    ablate,
    assess,
    compare,
    data,
    doctor,
    evaluate,
    explain,
    feedback,
    index,
    ingest,
    init,
    mcp,
    pipelines,
    prompts,
    recommend,
    report,
    run,
    serve,
    shards,
    status,
    sweep,
)
from score_rag.cli.signs import write_plainly
from score_rag.cli.stopped import stoppable
from score_rag.errors import ChangeSetting, InputError, ScoreError

__all__ = ["app", "main"]

app = typer.Typer(
    name="score-rag",
    help="Predict whether a user will like an item: retrieve similar users, rerank them, and let a language model answer Yes or No.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("run")(run.run)
app.command("status")(status.status)
app.command("recommend")(recommend.recommend)
app.command("serve")(serve.serve)
app.command("score")(shards.score)
app.command("embed")(shards.embed)
app.add_typer(shards.app, name="shards")
app.command("ingest")(ingest.ingest)
app.add_typer(feedback.app, name="feedback")
app.command("evaluate")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.command("explain")(explain.explain)
app.command("report")(report.report)
app.command("ablate")(ablate.ablate)
app.command("sweep")(sweep.sweep)
app.command("mcp")(mcp.mcp)
app.add_typer(assess.app, name="assess")
app.add_typer(index.app, name="index")
app.add_typer(data.app, name="data")
app.add_typer(prompts.app, name="prompts")
app.add_typer(pipelines.app, name="pipelines")
app.command("init")(init.init)
app.command("doctor")(doctor.doctor)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"score-rag {version('score-rag')}")
        raise typer.Exit


@app.callback()
def _root(
    home: Annotated[
        Path | None,
        typer.Option(
            help="The folder where prompts/, pipelines/, and relative paths in settings (runs, data.path) are found. "
            "Default: SCORE_RAG_HOME, or the working directory."
        ),
    ] = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    if home is not None:
        from score_rag.cli.remedies import name_home
        from score_rag.files import HOME

        if not home.is_dir():
            raise InputError("there is no such folder", where="--home", found=home)
        # In the environment, so that processes started from here find the same.
        os.environ[HOME] = str(home.resolve())
        name_home(str(home))


def main() -> None:
    """Run the command line; an error of ours is one red line and a hint, never a traceback."""
    # Threads that wait by spinning keep other processes, and on small machines each other, from working.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    write_plainly()
    try:
        with stoppable(sys.argv[1:]):
            app()
    except ScoreError as error:
        from score_rag.cli.screen import show_error

        show_error(error)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        from score_rag.cli.screen import show_error
        from score_rag.extras import missing_package

        found = missing_package(error)
        if found is None:
            raise
        show_error(found)
        sys.exit(found.exit_code)
    except BrokenPipeError:
        # Whoever read us has gone (`| head`); closing quietly is what they expect.
        sys.stderr.close()
        sys.exit(141)
    except OSError as error:
        from score_rag.cli.screen import show_error
        from score_rag.files import full_disk

        show_error(
            full_disk(error, error.filename or ".")
            or ScoreError(
                "the file system refused",
                where=error.filename,
                found=error.strerror or str(error),
                hint="is it a place that you may write to? runs go to another",
                remedy=ChangeSetting({"runs": "FOLDER"}),
            )
        )
        sys.exit(1)
