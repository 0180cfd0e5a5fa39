"""A finished run as an MCP server: the five questions of `Toolbox` as tools with structured output, over stdio or HTTP.

Over stdio, standard output belongs to JSON-RPC alone. A warning, a bar or a print of any package would break the client's reading, so
everything else that is written there goes to standard error, from the first import to the last moment of the process.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

from score_rag.access import Key, check_access
from score_rag.errors import ScoreError
from score_rag.extras import names_extras
from score_rag.integrations.toolbox import Toolbox

if TYPE_CHECKING:
    from mcp.server import MCPServer

__all__ = ["elsewhere", "make_server", "serve_http", "serve_stdio"]

_TELLS = (
    "A recommender: it finds users whose behaviour helps with a question, tells a language model what they did, and gives the probability "
    "that a user likes an item. Find items with search_items; ask recommend for a ranking, score for given items, explain for one item "
    "with the evidence behind the answer, neighbours for similar users. Users of the data have ids; for anybody else give a history."
)


@names_extras()
def make_server(toolbox: Toolbox, *, name: str = "score-rag") -> MCPServer[Any]:
    """The server, on no transport yet.

    What a caller did wrong comes back as an error result that says what was expected; what is wrong with the server is told in its log.

    Raises:
        MissingPackageError: The extra `mcp` is not installed.
    """
    from mcp.server import MCPServer
    from mcp_types import ToolAnnotations

    from score_rag import __version__

    server: MCPServer[Any] = MCPServer(name, instructions=_TELLS, version=__version__, log_level="WARNING", subscriptions=False)
    for tool, ask in toolbox.questions().items():
        server.add_tool(
            _telling(ask), name=tool, annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False), structured_output=True
        )
    return server


def _telling(ask: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The same question; an error of ours becomes a tool's error, for the agent to read and to ask better."""
    from mcp.server.mcpserver.exceptions import ToolError

    @wraps(ask)
    async def told(*given: Any, **named: Any) -> Any:
        try:
            return await ask(*given, **named)
        except ScoreError as error:
            raise ToolError(str(error)) from error

    return told


@contextmanager
def elsewhere() -> Iterator[None]:
    """Send everything that is written to standard output to standard error, by file descriptor: what C code writes, too."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def serve_stdio(open_toolbox: Callable[[], Toolbox]) -> None:
    """Serve one client over standard input and output, until it hangs up.

    Args:
        open_toolbox: Opens the run; what that prints goes to standard error.
    """
    with elsewhere():
        server = make_server(open_toolbox())
    try:
        # While it serves, the SDK keeps the descriptor to itself and points standard output at standard error.
        server.run("stdio")
    finally:
        # What is still in a buffer, and what is printed at exit, is no message.
        os.dup2(2, 1)


def serve_http(toolbox: Toolbox, *, host: str, port: int, key: str | None = None) -> None:
    """Serve many clients over streamable HTTP at `http://HOST:PORT/mcp`, until stopped.

    Args:
        host: Where to listen. Beyond this machine only with a key.
        port: Likewise.
        key: What clients send as `Authorization: Bearer KEY` or `X-API-Key: KEY`; None asks for nothing.

    Raises:
        InputError: As `check_access`.
    """
    import uvicorn

    uvicorn.run(http_app(toolbox, host=host, key=key), host=host, port=port, log_level="warning", access_log=False)


def http_app(toolbox: Toolbox, *, host: str = "127.0.0.1", key: str | None = None) -> Any:
    """The ASGI application of `serve_http`.

    Raises:
        InputError: As `check_access`.
    """
    check_access(host, key)
    server = make_server(toolbox)
    if key is None:
        # On loopback the SDK refuses other Host and Origin headers: a web page cannot reach it through the browser.
        return server.streamable_http_app(host=host, stateless_http=True, json_response=True)
    from mcp.server.transport_security import TransportSecuritySettings

    # A page of another origin does not know the key.
    open_to = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    return _Keyed(server.streamable_http_app(host=host, stateless_http=True, json_response=True, transport_security=open_to), key)


class _Keyed:
    """An ASGI application that answers 401 to whoever does not send the key."""

    def __init__(self, app: Any, key: str) -> None:
        self._app = app
        self._key = Key(key)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            given = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
            if not self._key.is_sent(given):
                headers = [(b"content-type", b"application/json"), (b"www-authenticate", b"Bearer")]
                await send({"type": "http.response.start", "status": 401, "headers": headers})
                await send({"type": "http.response.body", "body": b'{"error": "the key is missing or wrong"}'})
                return
        await self._app(scope, receive, send)
