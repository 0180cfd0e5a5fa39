"""What the engines that are servers share: connecting, batches by common beginning, retries, and errors that say what to do."""

from __future__ import annotations

import os
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any, TypeVar

from score_rag.errors import ModelError, did_you_mean
from score_rag.predictor.answer import Answer
from score_rag.predictor.engines.engine import TokenEngine
from score_rag.predictor.engines.retry import AGAIN, HINTS, Unavailable, persist, said
from score_rag.predictor.settings import EngineSettings
from score_rag.progress import Report

__all__ = ["HttpEngine", "Usage", "api_key"]

T = TypeVar("T")


@dataclass
class Usage:
    """Tokens that a server says it has read.

    Attributes:
        prompt: Tokens of prompts.
        cached: Of these, tokens that it took from its prefix cache; None where it has never said.
    """

    prompt: int = 0
    cached: int | None = None


class HttpEngine(TokenEngine):
    """An engine behind HTTP. Connects when it is made: the server must be there and serve the model.

    Args:
        settings: Address, model, key, limits.
        encode: Text to token ids: the server gets ids, so that its own tokenizer changes nothing.
        answers: Token ids of Yes and No.
        max_tokens: Longest row; less where the server reads less.

    Raises:
        ModelError: The server cannot be reached, or does not serve the model.
    """

    kind = "server"

    def __init__(
        self, settings: EngineSettings, encode: Callable[[str], Sequence[int]], answers: tuple[int, int], *, max_tokens: int
    ) -> None:
        import httpx

        super().__init__(encode, answers, max_tokens)
        self.settings = settings
        self.url = str(settings.url).rstrip("/").removesuffix("/v1")
        key = api_key(settings)
        self._client = httpx.Client(
            timeout=settings.timeout,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            limits=httpx.Limits(max_connections=settings.concurrency),
        )
        self.usage = Usage()
        self._lock = threading.Lock()
        try:
            self.model, length = self._find_model()
        except BaseException:
            self.close()
            raise
        # The server must have room for the token that it would write.
        self.max_tokens = min(max_tokens, length - 1) if length else max_tokens

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __del__(self) -> None:
        if hasattr(self, "_client"):
            self.close()

    def score_rows(self, rows: Sequence[list[int]], report: Report) -> list[Answer]:
        """One answer a row, by several requests at once."""
        return self.in_parallel(list(self._batches(rows)), lambda batch: self.ask([rows[row] for row in batch]), report)

    def in_parallel(self, batches: Sequence[list[int]], ask: Callable[[list[int]], list[Answer]], report: Report) -> list[Answer]:
        """The answers to batches of row numbers, in order of the numbers; the first failure ends it."""
        out: dict[int, Answer] = {}
        total = sum(map(len, batches))
        with ThreadPoolExecutor(max_workers=self.settings.concurrency) as pool:
            running = {pool.submit(ask, batch): batch for batch in batches}
            try:
                for future in as_completed(running):
                    out.update(zip(running[future], future.result(), strict=True))
                    report("asking", len(out), total)
            except BaseException:
                for future in running:
                    future.cancel()
                raise
        return [out[row] for row in range(total)]

    @abstractmethod
    def ask(self, rows: Sequence[list[int]]) -> list[Answer]:
        """One answer a row, by as few requests as the server allows."""

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The server's JSON answer to a request.

        Raises:
            ModelError: It cannot be reached, is too slow, refuses, or answers something else.
        """
        return self._request("POST", path, body)

    def count(self, usage: dict[str, Any] | None) -> None:
        """Add up what the server says of the tokens it has read."""
        usage = usage or {}
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
        with self._lock:
            self.usage.prompt += int(usage.get("prompt_tokens") or 0)
            if cached is not None:
                self.usage.cached = (self.usage.cached or 0) + int(cached)

    def malformed(self, path: str, expected: str, found: object) -> ModelError:
        """The error of an answer that is not what the API promises."""
        return ModelError(
            f"the {self.kind} server returned an answer of another form than its API promises",
            where=f"{self.url}{path}",
            expected=expected,
            found=repr(found)[:200],
            hint="is the URL that of such a server, and is its version a recent one?",
        )

    def _batches(self, rows: Sequence[list[int]]) -> Iterator[list[int]]:
        """Row numbers a request: rows with a common beginning stand together, for the server's prefix cache."""
        batch: list[int] = []
        tokens = 0
        for row in sorted(range(len(rows)), key=lambda row: rows[row]):
            if batch and tokens + len(rows[row]) > self.settings.batch_tokens:
                yield batch
                batch, tokens = [], 0
            batch.append(row)
            tokens += len(rows[row])
        yield batch

    def _find_model(self) -> tuple[str, int | None]:
        """(name, longest input) of the model to ask, from the server's list."""
        path = "/v1/models"
        listed = self._request("GET", path, None).get("data")
        if not isinstance(listed, list) or not all(isinstance(one, dict) and "id" in one for one in listed):
            raise self.malformed(path, '{"data": [{"id": ...}]}', listed)
        served = {str(one["id"]): one.get("max_model_len") for one in listed}
        name = self.settings.model or (next(iter(served)) if len(served) == 1 else None)
        if name is None:
            raise ModelError(
                f"the {self.kind} server serves several models", where=self.url, found=", ".join(served), hint="name one: engine_model"
            )
        if name not in served:
            raise ModelError(
                f"the {self.kind} server does not serve the model {name!r}",
                where=self.url,
                found=", ".join(served) or "no model",
                hint=did_you_mean(name, served),
            )
        # An adapter has no length of its own; the base it stands on has.
        return name, served[name] or next((length for length in served.values() if length), None)

    def _request(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        import httpx

        url = f"{self.url}{path}"

        def attempt() -> dict[str, Any]:
            try:
                response = self._client.request(method, url, json=body)
            except httpx.TimeoutException as error:
                raise Unavailable(f"no answer in {self.settings.timeout:g} s") from error
            except httpx.HTTPError as error:
                raise Unavailable(str(error) or type(error).__name__) from error
            if response.status_code in AGAIN:
                raise Unavailable(said(response))
            if response.status_code != 200:
                raise self.refused(url, response.status_code, said(response))
            try:
                answer = response.json()
            except ValueError as error:
                raise self.malformed(path, "JSON", response.text[:200]) from error
            if not isinstance(answer, dict):
                raise self.malformed(path, "a JSON object", answer)
            return answer

        return self.persist(attempt, url)

    def persist(self, attempt: Callable[[], T], where: str) -> T:
        """What an attempt returns, after as many as the settings allow; see `persist`."""
        return persist(attempt, retries=self.settings.retries, kind=self.kind, where=where)

    def refused(self, where: str, status: int | None, said: str) -> ModelError:
        """The error of a request that no repetition will mend."""
        return ModelError(f"the {self.kind} server refused", where=where, found=said, hint=HINTS.get(status or 0))


def api_key(settings: EngineSettings) -> str | None:
    """The server's key, from the environment.

    Raises:
        ModelError: The variable that should hold it is not set.
    """
    if settings.api_key_env is None:
        return None
    key = os.environ.get(settings.api_key_env)
    if not key:
        raise ModelError(f"the environment variable {settings.api_key_env} is not set", expected="the key of the scoring server")
    return key
