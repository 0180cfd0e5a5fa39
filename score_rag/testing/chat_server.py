"""A server on 127.0.0.1 that speaks OpenAI's chat API and fails as real providers do, for tests of what asks language models.

It says what a provider would have billed: an answer that its client did not wait for is paid for all the same.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

__all__ = ["FAULTS", "ChatServer", "fault_plan"]

FAULTS = ("busy", "busy-after", "error", "timeout", "drip", "reset", "half", "schema", "refusal", "filter", "empty")
"""429 without and with Retry-After, 500, an answer that comes too late, one that comes byte by byte, a closed connection, half of the
JSON, JSON of another schema, a refusal, an answer that a content filter took, an empty one."""

_FORMS = ("json_schema", "tool", "json_object")


class ChatServer:
    """A context manager; `url` is where it listens (an `api_base`).

    Args:
        answer: The answer to a request's body.
        fault: What goes wrong with the n-th request, of `FAULTS`; None: nothing.
        supports: Forms of structured output that it takes, of json_schema, tool and json_object; the others get a 400.
        retry_after: Seconds that `busy-after` asks for.
        late: Seconds that `timeout` takes; `drip` takes as long for ten bytes.

    Attributes:
        requests: The body of every request, in order.
        billed: (prompt tokens, completion tokens) of every answer that was made, whether or not anybody read it. A token is a word.

    >>> import httpx
    >>> with ChatServer(lambda body: "Yes") as server:
    ...     told = httpx.post(server.url + "/chat/completions", json={"messages": [{"role": "user", "content": "Any rain?"}]}).json()
    >>> told["choices"][0]["message"]["content"], server.billed
    ('Yes', [(2, 1)])
    """

    def __init__(
        self,
        answer: Callable[[dict[str, Any]], str],
        *,
        fault: Callable[[int], str | None] = lambda count: None,
        supports: Sequence[str] = _FORMS,
        retry_after: float = 0.05,
        late: float = 1.0,
    ) -> None:
        self.answer, self.fault = answer, fault
        self.supports, self.retry_after, self.late = tuple(supports), retry_after, late
        self.requests: list[dict[str, Any]] = []
        self.billed: list[tuple[int, int]] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._http = _Server(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def handle(self, method: str, path: str, kind: str, raw: bytes) -> tuple[int, bytes, dict[str, str], float] | None:
        """What comes back for a request, of whatever path: (status, body, headers, seconds a byte); None: the connection is closed.

        Args:
            kind: Its content type.
        """
        found = self.reply(json.loads(raw)) if method == "POST" else (404, _error(f"there is nothing at {path}"), {}, 0.0)
        return None if found is None else (found[0], json.dumps(found[1]).encode(), *found[2:])

    def reply(self, body: dict[str, Any]) -> tuple[int, dict[str, Any], dict[str, str], float] | None:
        """(status, JSON, headers, seconds a byte) of a question; None: the connection is closed."""
        with self._lock:
            self.requests.append(body)
            fault = self.fault(len(self.requests) - 1)
        form = "tool" if body.get("tools") else body.get("response_format", {}).get("type")
        if form in _FORMS and form not in self.supports:
            return 400, _error(f"{form} is not supported by this model"), {}, 0
        if fault in ("busy", "busy-after"):
            return 429, _error("too many requests"), {"Retry-After": str(self.retry_after)} if fault == "busy-after" else {}, 0
        if fault == "error":
            return 500, _error("made to fail"), {}, 0
        text = self.answer(body)
        broken = {"half": text[: len(text) // 2], "schema": '{"verdict": "Yes"}', "empty": "", "refusal": "", "filter": ""}
        said = broken.get(fault or "", text)
        prompt = sum(len(str(message["content"]).split()) for message in body["messages"])
        completion = min(len(said.split()), body.get("max_tokens") or body.get("max_completion_tokens") or 10**9)
        with self._lock:
            self.billed.append((prompt, completion))
        if fault == "timeout":
            self._closing.wait(self.late)
        if fault == "reset":
            return None
        message: dict[str, Any] = {"role": "assistant", "content": said}
        if fault == "refusal":
            message = {"role": "assistant", "content": None, "refusal": "I cannot help with that."}
        elif form == "tool" and fault != "filter":
            function = {"name": body["tools"][0]["function"]["name"], "arguments": said}
            message = {"role": "assistant", "content": None, "tool_calls": [{"id": "call-1", "type": "function", "function": function}]}
        usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        choice = {"index": 0, "finish_reason": "content_filter" if fault == "filter" else "stop", "message": message}
        facts = {"id": "chatcmpl-1", "object": "chat.completion", "created": int(time.time()), "model": body.get("model", "model")}
        return 200, {**facts, "choices": [choice], "usage": usage}, {}, self.late / 10 if fault == "drip" else 0

    def send(self, write: Callable[[bytes], Any], data: bytes, pause: float) -> None:
        """Send an answer, byte by byte where there is a pause after each; the rest is left out when the server closes."""
        for part in (data[place : place + 1] for place in range(len(data))) if pause else (data,):
            write(part)
            if pause and self._closing.wait(pause):
                return


class _Server(ThreadingHTTPServer):
    # With five, as is usual, some of sixteen clients at once would wait a second for their connection.
    request_queue_size = 128


def fault_plan(share: float, *, kinds: Sequence[str] = FAULTS, seed: int = 0) -> Callable[[int], str | None]:
    """Faults at random: the n-th request fails in one of `kinds` with probability `share`; the same plan for the same seed.

    >>> plan = fault_plan(0.3)
    >>> sum(plan(n) is not None for n in range(1000)), plan(7) == plan(7)
    (277, True)
    """

    def fault(count: int) -> str | None:
        draw = random.Random(f"{seed}/{count}")
        return draw.choice(list(kinds)) if draw.random() < share else None

    return fault


def _error(told: str) -> dict[str, Any]:
    return {"error": {"message": told, "type": "made_to_fail", "code": None}}


def _handler(server: ChatServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        # A connection an answer: clients that keep theirs open would outlive the server.
        protocol_version = "HTTP/1.0"

        def do_POST(self) -> None:
            self._answer("POST", self.rfile.read(int(self.headers["Content-Length"])))

        def do_GET(self) -> None:
            self._answer("GET", b"")

        def _answer(self, method: str, raw: bytes) -> None:
            found = server.handle(method, self.path, self.headers.get("Content-Type", ""), raw)
            if found is None:
                self.close_connection = True
                return
            status, data, headers, pause = found
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                server.send(self.wfile.write, data, pause)
            except ConnectionError:
                pass  # a client that no longer waits is what the tests of timeouts make

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
