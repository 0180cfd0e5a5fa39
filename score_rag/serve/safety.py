"""Who and what gets in, and under which headers answers leave: a layer around the whole application.

A key compared in constant time, bodies limited in size and time, loopback names alone where there is no key (so that no web page reaches
in by a name of its own), no requests of other origins, and headers that let a page load nothing from elsewhere.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from uuid import uuid4

from score_rag.access import Key, is_loopback
from score_rag.serve.refusals import Refusal
from score_rag.serve.session import token_holds, token_of
from score_rag.serve.settings import ServeSettings

__all__ = ["FORM_PATHS", "HEADERS", "OPEN_PATHS", "PAGE_PATHS", "Guarded"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_STATIC = ("/static/explorer.css", "/static/htmx.min.js", "/static/icon.svg")
OPEN_PATHS = ("/health/live", "/health/ready", "/docs", "/docs.css", "/openapi.json", "/login", *_STATIC)
"""What needs no key: it tells nothing of anybody."""
PAGE_PATHS = ("/", "/ranking", "/why", "/prompt", "/run", "/chart", "/logout", "/suggest/users", "/suggest/items")
"""The explorer's: a browser that has no key is sent to the form that asks for it."""
FORM_PATHS = ("/login", "/logout", "/prompt")
"""Where a browser sends forms."""
HEADERS = {
    "content-security-policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
_METHODS = ("GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PATIENCE = 15.0
"""Seconds that a body may take to arrive."""
_log = logging.getLogger("score_rag.serve")


class Guarded:
    """An ASGI application behind the rules.

    Args:
        app: The application.
        settings: Key and limits.
        told: Called with the matched route's pattern, method, status and seconds of each request.
    """

    def __init__(self, app: Any, settings: ServeSettings, told: Callable[[str, str, int, float], None]) -> None:
        self.app = app
        self.settings = settings
        self.told = told
        self._key = None if settings.api_key is None else Key(settings.api_key)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        given = headers.get("x-request-id", "")
        request_id = given if _ID.fullmatch(given) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        started, status, begun = time.perf_counter(), 500, False

        async def sending(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], True
                own = {name.lower() for name, _ in message["headers"]}
                more = {**HEADERS, "x-request-id": request_id}
                message["headers"] = [
                    *message["headers"],
                    *((name.encode(), value.encode()) for name, value in more.items() if name.encode() not in own),
                ]
            await send(message)

        try:
            self._check(scope, headers)
            await self.app(scope, await self._body(headers, receive), sending)
        except Refusal as refusal:
            if refusal.status == 401 and scope["path"] in PAGE_PATHS and "authorization" not in headers and "x-api-key" not in headers:
                await _ask_key(sending, inside="hx-request" in headers)
            else:
                await _refuse(refusal, request_id, sending)
        except Exception:
            # With a 500 the application has answered and logged it, and raises it again for servers that would like to know. One that
            # breaks off an answer that had begun is logged nowhere yet: the server does, and ends the connection.
            if not begun or status != 500:
                raise
        finally:
            # The pattern, never the path: that names users.
            pattern = getattr(scope.get("route"), "path_format", "other")
            seconds = time.perf_counter() - started
            # Any word may stand for a method; what is counted by made-up ones would grow for ever.
            method = scope["method"] if scope["method"] in _METHODS else "OTHER"
            self.told(pattern, method, status, seconds)
            _log.info("%s %s %s %s %.1f ms", request_id, method, pattern, status, seconds * 1000)

    def _check(self, scope: Scope, headers: dict[str, str]) -> None:
        host = headers.get("host", "")
        if self._key is None:
            name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
            if not is_loopback(name):
                raise Refusal(403, "forbidden", "without an API key this server answers to loopback names alone")
        elif scope["path"] not in OPEN_PATHS:
            known = self._key.is_sent(headers)
            if not known and scope["path"] in PAGE_PATHS and self.settings.api_key is not None:
                known = token_holds(self.settings.api_key, token_of(headers.get("cookie", "")))
            if not known:
                raise Refusal(401, "unauthorized", "a key is needed", expected="Authorization: Bearer KEY, or X-API-Key: KEY")
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            raise Refusal(403, "forbidden", "requests from pages of other origins are not answered")
        if scope["method"] in ("POST", "PUT"):
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != ("application/x-www-form-urlencoded" if scope["path"] in FORM_PATHS else "application/json"):
                raise Refusal(415, "not_json", "a body is JSON", expected="Content-Type: application/json")

    async def _body(self, headers: dict[str, str], receive: Receive) -> Receive:
        """The whole body, so that nobody holds a place by sending slowly; what comes behind it is the end of the connection."""
        most = self.settings.max_body
        too_large = Refusal(413, "too_large", "the request is too large", expected=f"at most {most:,} bytes")
        if headers.get("content-length", "0").isdigit() and int(headers.get("content-length", "0")) > most:
            raise too_large
        parts: list[bytes] = []
        size, more = 0, True
        try:
            async with asyncio.timeout(_PATIENCE):
                while more:
                    message = await receive()
                    if message["type"] != "http.request":
                        return receive
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    more = message.get("more_body", False)
                    if size > most:
                        raise too_large
        except TimeoutError:
            raise Refusal(408, "late", "the request took too long to arrive") from None
        whole = iter([{"type": "http.request", "body": b"".join(parts), "more_body": False}])

        async def replay() -> Message:
            found = next(whole, None)
            return found if found is not None else await receive()

        return replay


async def _refuse(refusal: Refusal, request_id: str, send: Send) -> None:
    body = json.dumps(refusal.body(request_id), ensure_ascii=False).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if refusal.retry is not None:
        headers.append((b"retry-after", str(max(1, round(refusal.retry))).encode()))
    if refusal.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _ask_key(send: Send, *, inside: bool) -> None:
    """Send a browser to the form; `inside` a page, its script goes there."""
    headers = [(b"content-length", b"0"), (b"hx-redirect" if inside else b"location", b"/login")]
    await send({"type": "http.response.start", "status": 401 if inside else 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
