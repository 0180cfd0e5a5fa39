"""Asking a language model, any that LiteLLM speaks to: one call, what it said, what it cost, and what its failure means."""

from __future__ import annotations

import atexit
import email.utils
import json
import os
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, Protocol

from score_rag.errors import AssessorError
from score_rag.extras import names_extras
from score_rag.reranker.assessment import AssessmentRequest
from score_rag.reranker.forms import form_arguments
from score_rag.reranker.settings import AssessmentSettings
from score_rag.reranker.spend import Usage

__all__ = ["Ask", "CallError", "CalledModel", "LanguageModel", "Reply", "StandIn"]

Ask = Callable[[list[dict[str, str]], AssessmentRequest], str]
"""Answers a conversation about a request, or raises `AssessorError`. Called from several threads at once."""

Kind = Literal["again", "form", "filtered", "row", "model"]

_GRACE = 1.0
"""Seconds after a call's timeout in which the client should have said so itself."""
_LONGEST_WAIT = 60.0
"""Seconds; a provider that asks for more is asked again all the same."""


@dataclass(frozen=True)
class Reply:
    """What came back of a call. `outcome` says whether the model refused, or a content filter took the answer."""

    text: str
    usage: Usage
    outcome: Literal["answered", "refused", "filtered"] = "answered"
    cut: bool = False


class CallError(Exception):
    """A call that brought nothing.

    Attributes:
        kind: `again`: it may work later; `form`: this form of question is not taken; `filtered`, `row`: this question is not taken;
            `model`: no question is.
        billed: Whether it may be billed: nobody knows, where no response was seen.
        wait: Seconds that the provider asks to wait.
    """

    def __init__(
        self, reason: str, kind: Literal["again", "form", "filtered", "row", "model"], *, billed: bool, wait: float | None
    ) -> None:
        super().__init__(reason)
        self.reason, self.kind, self.billed, self.wait = reason, kind, billed, wait


class CalledModel(Protocol):
    """What a job asks."""

    priced: bool

    def most(self, conversation: list[dict[str, str]], form: str) -> Usage:
        """The most that a call can come to: its prompt's tokens, the longest answer, the price of both."""
        ...

    def call(self, conversation: list[dict[str, str]], request: AssessmentRequest, form: str) -> Reply:
        """Call once.

        Raises:
            CallError: It brought nothing.
        """
        ...


class StandIn:
    """A function in a language model's place: its calls have no tokens and no price."""

    priced = False

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def most(self, conversation: list[dict[str, str]], form: str) -> Usage:
        return Usage(0, 0, None)

    def call(self, conversation: list[dict[str, str]], request: AssessmentRequest, form: str) -> Reply:
        return Reply(self._ask(conversation, request), Usage(0, 0, None))


class LanguageModel:
    """The language model `settings.assessor`, by its LiteLLM name. Providers are told messages, and nothing of who is asked about.

    Raises:
        AssessorError: LiteLLM knows no provider for that name.
    """

    def __init__(self, settings: AssessmentSettings) -> None:
        self.settings = settings
        self._litellm = _litellm()
        try:
            self._litellm.get_llm_provider(settings.assessor, api_base=settings.api_base)
        except self._litellm.exceptions.BadRequestError as error:
            raise AssessorError(
                f"the assessor {settings.assessor!r} could not be asked",
                where="reranker.assessor",
                expected="a LiteLLM name with its provider, such as openai/gpt-4o-mini or hosted_vllm/NAME",
                found=settings.assessor,
            ) from error
        self.priced = self._cost(1, 1) is not None
        self._extra = lru_cache(self._form_tokens)

    def most(self, conversation: list[dict[str, str]], form: str) -> Usage:
        prompt = self._count(messages=conversation) + self._extra(form)
        return Usage(prompt, self.settings.max_answer_tokens, self._cost(prompt, self.settings.max_answer_tokens))

    def call(self, conversation: list[dict[str, str]], request: AssessmentRequest, form: str) -> Reply:
        box: queue.SimpleQueue[Any] = queue.SimpleQueue()
        # In a thread that can be left behind: clients' timeouts start again with every byte, and some servers send blanks to keep them.
        thread = threading.Thread(target=lambda: box.put(self._complete(conversation, form)), name="assessor call", daemon=True)
        thread.start()
        try:
            found = box.get(timeout=self.settings.timeout + _GRACE)
        except queue.Empty:
            # A thread that is stopped in the midst of an import keeps the process from ending.
            atexit.register(thread.join, 0.1)
            raise CallError(f"no whole answer within {self.settings.timeout:g} s", "again", billed=True, wait=None) from None
        if isinstance(found, Exception):
            raise self._failure(found) from found
        return self._reply(found, conversation, form)

    def _complete(self, conversation: list[dict[str, str]], form: str) -> Any:
        """What LiteLLM returns or raises."""
        settings = self.settings
        try:
            return self._litellm.completion(
                model=settings.assessor,
                messages=conversation,
                api_base=settings.api_base,
                max_tokens=settings.max_answer_tokens,
                temperature=settings.temperature,
                timeout=settings.timeout,
                # Every call is reserved and counted, so none may be repeated behind our back.
                num_retries=0,
                max_retries=0,
                drop_params=True,
                **form_arguments(form),
            )
        except Exception as error:  # noqa: BLE001  # litellm wraps every provider's errors in classes of its own and of openai's
            return error

    def _reply(self, answer: Any, conversation: list[dict[str, str]], form: str) -> Reply:
        choice = answer.choices[0] if answer.choices else None
        message: Any = choice.message if choice else None
        text = (message.content or "") if message else ""
        for called in (getattr(message, "tool_calls", None) or [])[:1]:
            text = called.function.arguments or text
        # Half of a character pair could be neither sent back nor kept.
        text = text.encode("utf-8", "replace").decode()
        told = getattr(answer, "usage", None)
        prompt = getattr(told, "prompt_tokens", None) or self._count(messages=conversation) + self._extra(form)
        completion = getattr(told, "completion_tokens", None)
        completion = self._count(text=text) if completion is None else completion
        usage = Usage(int(prompt), int(completion), self._paid(answer, int(prompt), int(completion)))
        finish = getattr(choice, "finish_reason", None)
        if refusal := (getattr(message, "provider_specific_fields", None) or {}).get("refusal") or getattr(message, "refusal", None):
            return Reply(str(refusal), usage, "refused")
        return Reply(text, usage, "filtered" if finish == "content_filter" else "answered", cut=finish == "length")

    def _failure(self, error: Exception) -> CallError:
        classes = self._litellm.exceptions
        headers = getattr(error, "litellm_response_headers", None)
        if not headers:
            headers = getattr(getattr(error, "response", None), "headers", None)
        status = getattr(error, "status_code", None)
        answered = bool(headers)  # by the provider, with a status that says that there is no answer
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:300]}"
        kind: Kind = "again"
        if isinstance(error, classes.ContentPolicyViolationError):
            kind, answered = "filtered", True
        elif isinstance(error, classes.ContextWindowExceededError):
            kind, answered = "row", True
        elif isinstance(error, ImportError) or status in (400, 415, 422):
            kind, answered = "form", True
        elif status in (401, 402, 403, 404):
            kind, answered = "model", True
        elif status == 429:
            answered = True
        return CallError(reason, kind, billed=not answered, wait=_asked_wait(headers))

    def _count(self, **what: Any) -> int:
        return int(self._litellm.token_counter(model=self.settings.assessor, **what))

    def _form_tokens(self, form: str) -> int:
        told = form_arguments(form)
        return self._count(text=json.dumps(told)) if told else 0

    def _cost(self, prompt: int, completion: int) -> float | None:
        try:
            parts = self._litellm.cost_per_token(model=self.settings.assessor, prompt_tokens=prompt, completion_tokens=completion)
        except Exception:  # noqa: BLE001  # an unknown model is told by exceptions of several kinds
            return None
        return float(sum(parts))

    def _paid(self, answer: Any, prompt: int, completion: int) -> float | None:
        try:
            return float(self._litellm.completion_cost(completion_response=answer, model=self.settings.assessor))
        except Exception:  # noqa: BLE001  # as above
            return self._cost(prompt, completion)


def _asked_wait(headers: Any) -> float | None:
    """Seconds that a `Retry-After` asks for, a number or a date; `_LONGEST_WAIT` at most."""
    value = (headers or {}).get("retry-after")
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(seconds, 0.0), _LONGEST_WAIT) if seconds == seconds else None


@names_extras()
def _litellm() -> Any:
    # Without this, the import asks a server for a price list, and waits for it.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    litellm.telemetry = False
    litellm.suppress_debug_info = True
    return litellm
