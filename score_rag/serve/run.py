"""Starting a server: one process, or several under uvicorn's supervisor, which replaces a worker that dies."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from functools import partial
from typing import Any

from score_rag.extras import names_extras
from score_rag.serve.metrics import FOLDER
from score_rag.serve.settings import ServeSettings

__all__ = ["run_server", "uvicorn_config"]

_HEALTHY = 60
"""Seconds after which a worker that does not answer its supervisor is replaced; loading models may keep it from answering."""


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
