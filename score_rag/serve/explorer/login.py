"""The form that asks for the key, where the server has one."""

from __future__ import annotations

from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from score_rag.access import Key
from score_rag.serve.explorer.page import page
from score_rag.serve.service import Service
from score_rag.serve.session import COOKIE, LASTS, new_token

__all__ = ["login"]


def login(service: Service) -> APIRouter:
    """The router."""
    router = APIRouter(include_in_schema=False)
    key = service.settings.api_key

    @router.get("/login")
    async def ask(request: Request) -> Response:
        return page(request, "login.html", wrong=False, has_key=False) if key is not None else RedirectResponse("/", 303)

    @router.post("/login")
    async def check(request: Request) -> Response:
        if key is None:
            return RedirectResponse("/", 303)
        given = parse_qs((await request.body()).decode("utf-8", "replace")).get("key", [""])[0].strip()
        if not Key(key).is_sent({"x-api-key": given}):
            return page(request, "login.html", status=401, wrong=True, has_key=False)
        answer = RedirectResponse("/", 303)
        secure = request.url.scheme == "https"
        answer.set_cookie(COOKIE, new_token(key), max_age=LASTS, httponly=True, samesite="strict", secure=secure)
        return answer

    @router.post("/logout")
    async def leave(request: Request) -> Response:
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer

    return router
