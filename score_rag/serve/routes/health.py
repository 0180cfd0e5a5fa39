"""Whether the server lives and is ready, and its numbers: `/health/live`, `/health/ready`, `/metrics`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from score_rag.serve.service import Service

__all__ = ["health"]


def health(service: Service) -> APIRouter:
    """The router."""
    router = APIRouter(tags=["health"])

    @router.get("/health/live")
    async def live() -> Any:
        """The process answers."""
        return {"status": "live"}

    @router.get("/health/ready")
    async def ready() -> Any:
        """The models are loaded; with the index's generation, and lines of the feedback log that could not be read."""
        if service.failure is not None or not service.ready.is_set():
            status = "failed" if service.failure is not None else "starting"
            return JSONResponse({"status": status}, status_code=503, headers={"retry-after": "2"})
        told = {"index_generation": service.loaded.generation, "models": service.models, "feedback": len(service.feedback.events)}
        return {"status": "ready", **told, "damaged_lines": service.feedback.damaged}

    @router.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Numbers in the form of Prometheus."""
        content, kind = service.metrics.page()
        return Response(content, media_type=kind)

    return router
