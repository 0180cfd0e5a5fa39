"""How the explorer's pages are made, and what becomes of an error: a page too, which says what to do."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from functools import cache
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from score_rag.serve.refusals import Refusal, of_error
from score_rag.serve.service import Service

__all__ = ["page", "page_route"]

_log = logging.getLogger("score_rag.serve")
# Under `no-referrer`, browsers send forms without their origin, which the server then takes for somebody else's.
_HEADERS = {"referrer-policy": "same-origin"}
_TITLES = {
    "unknown_user": "There is no such user",
    "unknown_item": "There is no such item",
    "invalid": "This cannot be asked",
    "starting": "The models are being loaded",
    "busy": "Too much is waiting",
    "late": "This took too long",
    "failed": "Something went wrong",
}


@cache
def _environment() -> Any:
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    return Environment(
        # Tables, chapters and style are those of the reports.
        loader=ChoiceLoader([PackageLoader("score_rag.serve.explorer"), PackageLoader("score_rag.pages")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
    """A page; where its script asks for a part of it, that part alone.

    Args:
        template: A file in `templates`; it extends `frame` where the whole page is wanted.
        values: What it names.
    """
    inside = "hx-request" in request.headers
    known: Service = request.app.state.service
    shared = {"inside": inside, "run_name": known.pipeline.name, "has_key": known.settings.api_key is not None}
    frame = "part.html" if inside else "frame.html"
    text = _environment().get_template(template).render(frame=frame, **{**shared, **values})
    return Response(text, status_code=status, media_type="text/html", headers=_HEADERS)


def page_route(service: Service) -> type[APIRoute]:
    """Routes whose errors are pages."""

    class PageRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            inner = super().get_route_handler()

            async def handle(request: Request) -> Response:
                try:
                    return await inner(request)
                except Exception as error:  # noqa: BLE001  # said on the page, and in the log where it is ours
                    return _refused(service, request, error)

            return handle

    return PageRoute


def _refused(service: Service, request: Request, error: Exception) -> Response:
    if isinstance(error, RequestValidationError):
        told = "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in error.errors()[:5])
        error = Refusal(422, "invalid", "a field of the form is of another form", found=told)
    refusal = of_error(error)
    request_id = request.scope["state"]["request_id"]
    if refusal.status >= 500 and not isinstance(error, Refusal):
        _log.error("%s failed", request_id, exc_info=error)
    service.metrics.refused.labels(refusal.kind).inc()
    users: list[str] = []
    if refusal.kind == "unknown_user" and service.ready.is_set():
        users = service.loaded.histories.log.users[:8]
    title = _TITLES.get(refusal.kind, "This is no answer")
    answer = page(request, "refused.html", status=refusal.status, title=title, refusal=refusal, request_id=request_id, users=users)
    if refusal.retry is not None:
        answer.headers["retry-after"] = str(max(1, round(refusal.retry)))
    return answer
