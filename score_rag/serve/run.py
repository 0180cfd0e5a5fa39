"""Starting a server: one process, or several under uvicorn's supervisor, which replaces a worker that dies."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from functools import partial
from typing import Any

from score_rag.extras import names_extras
from score_rag.pipeline.config import Pipeline
from score_rag.serve.metrics import FOLDER
from score_rag.serve.settings import ServeSettings
from score_rag.settings import BUNDLED

__all__ = ["run_server", "share_cores", "uvicorn_config"]

_HEALTHY = 60
"""Seconds after which a worker that does not answer its supervisor is replaced; loading models may keep it from answering."""

_MOST_THREADS = 4


def share_cores(pipeline: Pipeline, *, workers: int, threads: int, cores: int) -> tuple[int, int]:
    """How many batches a process answers at once, and how many cores each of them takes.

    Two batches with a core each are answered sooner, together, than one after the other with two cores: a model divides little of its work
    so well. What answers elsewhere (a server, a GPU), or in torch, gets one batch at a time, as large as possible.

    Args:
        workers: Processes on this machine.
        threads: As asked for; 0 leaves it to this.
        cores: That there are.

    >>> from score_rag.pipeline.config import load_pipeline
    >>> share_cores(load_pipeline("sample"), workers=1, threads=0, cores=2)
    (2, 1)
    >>> share_cores(load_pipeline("sample"), workers=2, threads=0, cores=16)
    (4, 2)
    """
    own = max(1, cores // workers)
    if not threads:
        predictor = pipeline.predictor
        here = predictor.scoring.engine == "onnx" or (predictor.scoring.engine == "auto" and predictor.base == BUNDLED)
        threads = min(_MOST_THREADS, own) if here else 1
    return threads, max(1, own // threads)


def uvicorn_config(pipeline: str, overrides: Sequence[str], settings: ServeSettings) -> Any:
    """How uvicorn runs the application.

    Raises:
        MissingPackageError: The extra `serve` is not installed.
    """
    with names_extras():
        import uvicorn

        from score_rag.serve.app import open_app
    return uvicorn.Config(
        partial(open_app, pipeline, list(overrides), settings),
        factory=True,
        host=settings.host.strip("[]"),
        port=settings.port,
        workers=settings.workers,
        # Paths name users: what is logged of a request, the application says.
        access_log=False,
        server_header=False,
        log_config=_LOGGING,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=int(settings.deadline) + 5,
        timeout_worker_healthcheck=_HEALTHY,
    )


_LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain", "stream": "ext://sys.stderr"}},
    "loggers": {name: {"handlers": ["stderr"], "level": "INFO", "propagate": False} for name in ("uvicorn", "score_rag.serve")},
}


def run_server(pipeline: str, overrides: Sequence[str], settings: ServeSettings) -> None:
    """Serve until a signal says to stop."""
    import uvicorn

    if settings.workers == 1:
        uvicorn.Server(uvicorn_config(pipeline, overrides, settings)).run()
        return
    from uvicorn.supervisors import Multiprocess

    with tempfile.TemporaryDirectory(prefix="score-rag-metrics-") as folder:
        os.environ[FOLDER] = folder
        config = uvicorn_config(pipeline, overrides, settings)
        # The port is held here, so that it stays open while workers come and go.
        socket = config.bind_socket()
        try:
            Multiprocess(config, sockets=[socket]).run()
        finally:
            socket.close()
