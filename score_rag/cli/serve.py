"""`score-rag serve`: a finished run over HTTP."""

from __future__ import annotations

import os
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
    threads: Annotated[
        int,
        typer.Option(
            min=0,
            max=64,
            help="Batches that a process answers at once. 0: one a core, up to 4; one in all where the predictor runs elsewhere.",
        ),
    ] = 0,
    deadline: Annotated[float, typer.Option(min=0.1, help="Seconds that an answer may take.")] = 30.0,
    set_: Set = None,
) -> None:
    """Serve a finished run over HTTP: scores, rankings, evidence, feedback. GET /docs says what there is."""
    start(pipeline, set_ or [], host=host, port=port, workers=workers, threads=threads, deadline=deadline)


def start(name: str, overrides: list[str], *, host: str, port: int, workers: int, threads: int, deadline: float) -> None:
    """Check that there is something to serve, then serve it until a signal."""
    from score_rag.access import api_key
    from score_rag.cli.recommend import staleness
    from score_rag.cli.screen import console
    from score_rag.pipeline.config import load_pipeline
    from score_rag.pipeline.run import Run
    from score_rag.pipeline.stages import STAGES
    from score_rag.pipeline.usage import cores
    from score_rag.serve.run import run_server, share_cores, uvicorn_config
    from score_rag.serve.settings import ServeSettings

    chosen = load_pipeline(name, overrides=overrides)
    threads, each = share_cores(chosen, workers=workers, threads=threads, cores=cores())
    # Read by whatever computes, in worker processes too.
    os.environ.setdefault("OMP_NUM_THREADS", str(each))
    settings = ServeSettings(host=host, port=port, workers=workers, threads=threads, api_key=api_key(), deadline=deadline)
    Run.open(chosen, stages=STAGES)
    uvicorn_config(name, overrides, settings)
    if stale := staleness(chosen):
        console(error=True).print(f"note: {stale}", style="yellow", soft_wrap=True, markup=False)
    run_server(name, overrides, settings)
