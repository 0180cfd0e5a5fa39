"""A scoring server on 127.0.0.1 that speaks vLLM's, SGLang's and OpenAI's forms over a model of yours, their traps included.

For tests of what talks to such servers, without a GPU or a network. It counts what a prefix cache would have had, and can be made to fail.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import numpy as np

__all__ = ["ScoringServer"]

_BLOCK = 16
"""Tokens of a block of the pretended prefix cache."""


class ScoringServer:
    """A context manager; `url` is where it listens.

    Args:
        next_logits: Token ids to the logits of the next token, float [vocabulary].
        encode: Text to token ids.
        decode: Token id to text.
        models: Served names; the value is the longest sequence, None where the list of models does not say.
        max_model_len: Longest sequence. vLLM's `/generative_scoring` cuts a longer prompt at its end, the others refuse it.
        key: Every request must carry it.
        delay: Seconds before each answer.

    Attributes:
        requests: (path, body) of every request, in order.
        failures: Statuses to answer the next POSTs with, first to last, before it works again.

    >>> import httpx
    >>> with ScoringServer(lambda ids: np.zeros(4), encode=lambda text: [1], decode=str) as server:
    ...     body = {"query": [1], "items": [[2]], "label_token_ids": [3, 2], "apply_softmax": False}
    ...     httpx.post(server.url + "/generative_scoring", json=body).json()["data"]
    [{'index': 0, 'object': 'score', 'score': 0.25}]
    """

    def __init__(
        self,
        next_logits: Callable[[Sequence[int]], np.ndarray],
        *,
        encode: Callable[[str], Sequence[int]],
        decode: Callable[[int], str],
        models: dict[str, int | None] | None = None,
        max_model_len: int = 512,
        key: str | None = None,
        delay: float = 0.0,
    ) -> None:
        self._next_logits, self._encode, self._decode = next_logits, encode, decode
        self.models = models if models is not None else {"llama": max_model_len}
        self.max_model_len = max_model_len
        self.key = key
        self.delay = delay
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.failures: list[int] = []
        self._cached: set[tuple[int, ...]] = set()
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def answer(self, path: str, body: dict[str, Any] | None, key: str | None) -> tuple[int, dict[str, Any]]:
        """(status, JSON) of a request; a GET has no body."""
        if self.key is not None and key != f"Bearer {self.key}":
            return 401, {"error": "Unauthorized"}
        if body is None:
            listed = [{"id": name, "object": "model", "max_model_len": length} for name, length in self.models.items()]
            return (200, {"object": "list", "data": listed}) if path == "/v1/models" else (404, {"detail": "Not Found"})
        with self._lock:
            self.requests.append((path, body))
            failure = self.failures.pop(0) if self.failures else None
        time.sleep(self.delay)
        if failure is not None:
            return failure, {"error": {"message": "made to fail", "code": failure}}
        forms = {
            "/generative_scoring": self._generative_scoring,
            "/v1/score": self._score,
            "/v1/completions": self._completions,
            "/v1/chat/completions": self._chat,
        }
        if path not in forms:
            return 404, {"detail": "Not Found"}
        name = body.get("model") or next(iter(self.models))
        if name not in self.models:
            return 404, {"error": {"message": f"The model `{name}` does not exist.", "type": "NotFoundError", "code": 404}}
        try:
            return 200, {"model": name, **forms[path](body)}
        except ValueError as error:
            return 400, {"error": {"message": str(error), "type": "BadRequestError", "code": 400}}

    def _generative_scoring(self, body: dict[str, Any]) -> dict[str, Any]:
        rows = [row[: self.max_model_len - 1] for row in self._joined(body)]  # vLLM cuts at the end
        labels = body["label_token_ids"]
        data = []
        for index, row in enumerate(rows):
            self._cache(row)
            logs = self._log_probabilities(row)[labels]
            chances = np.exp(logs)
            score = chances[0] / chances.sum() if body.get("apply_softmax", True) else chances[0]
            data.append({"index": index, "object": "score", "score": float(score)})
        return {"id": "generative-scoring-1", "object": "list", "created": 0, "data": data, "usage": _usage(sum(map(len, rows)), len(rows))}

    def _score(self, body: dict[str, Any]) -> dict[str, Any]:
        scores = []
        for row in self._joined(body):
            self._refuse_long(row)
            chances = np.exp(self._log_probabilities(row)[body["label_token_ids"]])
            scores.append((chances / chances.sum() if body.get("apply_softmax", False) else chances).tolist())
        return {"scores": scores, "object": "scoring", "usage": None}

    def _completions(self, body: dict[str, Any]) -> dict[str, Any]:
        row = list(self._encode(body["prompt"])) if isinstance(body["prompt"], str) else body["prompt"]
        top, cached = self._top(row, body.get("logprobs") or 0)
        best = next(iter(top))
        told = {"text_offset": [0], "token_logprobs": [top[best]], "tokens": [best], "top_logprobs": [top]}
        choice = {"index": 0, "text": best, "finish_reason": "length", "logprobs": told}
        return {"id": "cmpl-1", "object": "text_completion", "created": 0, "choices": [choice], "usage": _usage(len(row), 1, cached)}

    def _chat(self, body: dict[str, Any]) -> dict[str, Any]:
        row = list(self._encode(body["messages"][-1]["content"]))
        top, cached = self._top(row, body.get("top_logprobs") or 0)
        listed = [{"token": token, "logprob": value, "bytes": list(token.encode())} for token, value in top.items()]
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": listed[0]["token"]},
            "finish_reason": "length",
            "logprobs": {"content": [{**listed[0], "top_logprobs": listed}]},
        }
        return {"id": "chatcmpl-1", "object": "chat.completion", "created": 0, "choices": [choice], "usage": _usage(len(row), 1, cached)}

    def _joined(self, body: dict[str, Any]) -> list[list[int]]:
        """Query and items tokenised apart, as both servers do."""
        parts = [list(self._encode(part)) if isinstance(part, str) else part for part in (body["query"], *body["items"])]
        return [parts[0] + part for part in parts[1:]]

    def _top(self, row: list[int], count: int) -> tuple[dict[str, float], int]:
        if not 1 <= count <= 20:
            raise ValueError(f"Requested {count} log-probabilities; 1 to 20 are allowed")
        self._refuse_long(row)
        cached = self._cache(row)
        logs = self._log_probabilities(row)
        return {self._decode(int(token)): float(logs[token]) for token in np.argsort(-logs)[:count]}, cached

    def _refuse_long(self, row: list[int]) -> None:
        if len(row) >= self.max_model_len:
            raise ValueError(f"This model's maximum context length is {self.max_model_len} tokens; the prompt has {len(row)}")

    def _log_probabilities(self, row: list[int]) -> np.ndarray:
        logits = np.asarray(self._next_logits(row), dtype=np.float64)
        logits = logits - logits.max()
        found: np.ndarray = logits - np.log(np.exp(logits).sum())
        return found

    def _cache(self, row: list[int]) -> int:
        """Tokens of the row that stood in whole blocks of earlier rows; from now on, the row's blocks do."""
        blocks = [tuple(row[:end]) for end in range(_BLOCK, len(row), _BLOCK)]
        with self._lock:
            hits = sum(block in self._cached for block in blocks)
            self._cached.update(blocks)
        return hits * _BLOCK


def _usage(prompt: int, completion: int, cached: int | None = None) -> dict[str, Any]:
    told = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return told if cached is None else {**told, "prompt_tokens_details": {"cached_tokens": cached}}


def _handler(server: ScoringServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(*server.answer(self.path, None, self.headers.get("Authorization")))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._send(*server.answer(self.path, body, self.headers.get("Authorization")))

        def _send(self, status: int, answer: dict[str, Any]) -> None:
            data = json.dumps(answer).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except ConnectionError:
                pass  # a client that no longer waits is what the tests of timeouts make

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
