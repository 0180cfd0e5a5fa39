"""The explorer's own files: style, script, icon."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter, Response

__all__ = ["static"]


def static() -> APIRouter:
    """The router: three addresses, so that no path from a request reaches the disk."""
    router = APIRouter(include_in_schema=False)
    folder = files("score_rag.serve.explorer") / "static"
    shared = (files("score_rag.pages") / "templates" / "page.css").read_text("utf-8")
    style = shared + (folder / "explorer.css").read_text("utf-8")
    script = (folder / "htmx.min.js").read_text("utf-8")
    icon = (folder / "icon.svg").read_text("utf-8")
    kept = {"cache-control": "max-age=300"}

    @router.get("/static/explorer.css")
    async def explorer_style() -> Response:
        return Response(style, media_type="text/css", headers=kept)

    @router.get("/static/htmx.min.js")
    async def explorer_script() -> Response:
        return Response(script, media_type="text/javascript", headers=kept)

    @router.get("/static/icon.svg")
    async def explorer_icon() -> Response:
        return Response(icon, media_type="image/svg+xml", headers=kept)

    return router
