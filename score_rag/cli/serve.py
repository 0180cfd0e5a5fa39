"""`score-rag serve`: a finished run over HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from score_rag.cli.options import PipelineName, Set

__all__ = ["serve", "start"]


def serve(
    pipeline: PipelineName,
    host: Annotated[
        str, typer.Option(help="Address to listen on. Anything but loopback needs the variable SCORE_RAG_API_KEY.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes, each with its own models; one that dies is replaced.")] = 1,
    deadline: Annotated[float, typer.Option(min=0.1, help="Seconds that an answer may take.")] = 30.0,
    set_: Set = None,
) -> None:
    """Serve a finished run over HTTP: scores, rankings, evidence, feedback. GET /docs says what there is."""
    start(pipeline, set_ or [], host=host, port=port, workers=workers, deadline=deadline)


def start(name: str, overrides: list[str], *, host: str, port: int, workers: int, deadline: float) -> None:
    """Check that there is something to serve, then serve it until a signal."""
    from score_rag.access import api_key
    from score_rag.cli.recommend import staleness
    from score_rag.cli.screen import console
    from score_rag.pipeline.config import load_pipeline
    from score_rag.pipeline.run import Run
    from score_rag.pipeline.stages import STAGES
    from score_rag.serve.run import run_server, uvicorn_config
    from score_rag.serve.settings import ServeSettings

    settings = ServeSettings(host=host, port=port, workers=workers, api_key=api_key(), deadline=deadline)
    chosen = load_pipeline(name, overrides=overrides)
    Run.open(chosen, stages=STAGES)
    uvicorn_config(name, overrides, settings)
    if stale := staleness(chosen):
        console(error=True).print(f"note: {stale}", style="yellow", soft_wrap=True, markup=False)
    run_server(name, overrides, settings)
