"""The application: routers over one service, behind the rules of `score_rag.serve.safety`.

Further pages are routers too: `create_app(service, routers=[...])`, each a function of the service.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from score_rag.errors import ScoreError
from score_rag.pipeline.config import load_pipeline
from score_rag.serve.explorer.router import explorer
from score_rag.serve.refusals import Refusal, of_error
from score_rag.serve.routes.answers import answers
from score_rag.serve.routes.catalogue import catalogue
from score_rag.serve.routes.feedback import feedback
from score_rag.serve.routes.health import health
from score_rag.serve.routes.pages import pages
from score_rag.serve.safety import Guarded
from score_rag.serve.service import Service
from score_rag.serve.settings import ServeSettings

__all__ = ["create_app", "open_app"]

_log = logging.getLogger("score_rag.serve")
_SWITCH = 0.001
"""Seconds after which a thread that computes in Python lets another go on: a look-up must not wait as long as an answer takes."""


def open_app(pipeline: str, overrides: Sequence[str], settings: ServeSettings) -> Any:
    """The application of a pipeline by its name; what each worker process makes for itself."""
    sys.setswitchinterval(_SWITCH)
    return create_app(Service(load_pipeline(pipeline, overrides=overrides), settings))


def create_app(service: Service, *, routers: Sequence[Callable[[Service], APIRouter]] = ()) -> Guarded:
    """The application.

    Args:
        service: Who answers; it is started and stopped with the application.
        routers: Of further pages.
    """

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.stop()

    about = "Will this user like this item, and on what evidence?"
    app = FastAPI(title=f"score-rag: {service.pipeline.name}", description=about, docs_url=None, redoc_url=None, lifespan=life)
    for router in (answers(service), feedback(service), catalogue(service), health(service), pages(app), explorer(service)):
        app.include_router(router)
    for make in routers:
        app.include_router(make(service))
    app.state.service = service

    async def refused(request: Request, error: Exception) -> JSONResponse:
        refusal = of_error(error)
        if refusal.status >= 500 and not isinstance(error, Refusal):
            _log.error("%s failed", request.scope["state"]["request_id"], exc_info=error)
        service.metrics.refused.labels(refusal.kind).inc()
        headers = {} if refusal.retry is None else {"retry-after": str(max(1, round(refusal.retry)))}
        return JSONResponse(refusal.body(request.scope["state"]["request_id"]), status_code=refusal.status, headers=headers)

    async def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        # Where and what, never the value: it may be somebody's history.
        told = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:10])
        return await refused(request, Refusal(422, "invalid", "the request is of another form", found=told, hint="GET /docs"))

    async def elsewhere(request: Request, error: HTTPException) -> JSONResponse:
        kind = "unknown_path" if error.status_code == 404 else "invalid"
        return await refused(request, Refusal(error.status_code, kind, str(error.detail), hint="GET /docs"))

    handlers: dict[Any, Any] = {
        Refusal: refused, ScoreError: refused, RequestValidationError: malformed, HTTPException: elsewhere, Exception: refused
    }  # fmt: skip
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
    return Guarded(app, service.settings, service.metrics.told)
