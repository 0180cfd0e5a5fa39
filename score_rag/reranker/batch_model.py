"""A language model behind its provider's batch endpoints, by LiteLLM: a file of questions in, a file of answers out, at half the price."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from score_rag.errors import AssessorError
from score_rag.reranker.forms import form_arguments
from score_rag.reranker.language_model import LanguageModel, Reply
from score_rag.reranker.settings import AssessmentSettings

__all__ = ["PROVIDERS", "BatchLook", "BatchModel"]

PROVIDERS = ("openai", "azure", "hosted_vllm", "litellm_proxy")
"""Whose batches LiteLLM makes, reads and lists, in OpenAI's form on both ways."""
_TAG = "score_rag_batch"
_LISTED = 100


@dataclass(frozen=True)
class BatchLook:
    """A batch as its provider tells it.

    Attributes:
        done: Rows that were answered or failed.
        files: Ids of what can be read: answers, then errors.
        reason: Why it failed as a whole.
    """

    status: str
    done: int
    total: int
    files: tuple[str, ...]
    reason: str

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.status in ("completed", "failed", "expired", "cancelled")


class BatchModel(LanguageModel):
    """`LanguageModel` by batches; its prices are those of batches (LiteLLM's list; half of the others where it has none).

    Raises:
        AssessorError: LiteLLM knows no provider for that name, or none whose batches it can make.
    """

    def __init__(self, settings: AssessmentSettings) -> None:
        super().__init__(settings)
        self.name, self.provider, self._key, base = self._litellm.get_llm_provider(settings.assessor, api_base=settings.api_base)
        self._where = {"custom_llm_provider": self.provider, "api_base": settings.api_base or base, "timeout": settings.timeout}
        if self._key:
            self._where["api_key"] = self._key
        if self.provider not in PROVIDERS:
            raise AssessorError(
                "this assessor cannot be asked in batches",
                where="reranker.assessor",
                expected=f"a model of {', '.join(PROVIDERS)}",
                found=settings.assessor,
                hint="ask it call by call",
            )

    def lines(self, conversations: Iterable[list[dict[str, str]]], form: str) -> Iterator[str]:
        """A line for each question, named by its number."""
        settings = self.settings
        more = {name: value for name, value in form_arguments(form).items() if not name.startswith("_")}
        # What the provider takes, in the names that this model has for it.
        told = self._litellm.utils.get_optional_params(
            model=self.name,
            custom_llm_provider=self.provider,
            max_tokens=settings.max_answer_tokens,
            temperature=settings.temperature,
            drop_params=True,
            **more,
        )
        told = {name: value for name, value in told.items() if name not in ("extra_body", "max_retries", "stream")}
        for number, conversation in enumerate(conversations):
            body = {"model": self.name, "messages": conversation, **told}
            row = {"custom_id": str(number), "method": "POST", "url": "/v1/chat/completions", "body": body}
            yield json.dumps(row, ensure_ascii=False) + "\n"

    def upload(self, lines: Iterable[str]) -> str:
        """Hand over the file; nothing is asked or paid for yet. Returns its id.

        Raises:
            CallError: It was not taken.
        """
        content = "".join(lines).encode("utf-8", "replace")
        file = ("assessments.jsonl", content, "application/jsonl")
        return str(self._try(lambda: self._litellm.create_file(file=file, purpose="batch", max_retries=0, **self._where)).id)

    def create(self, file_id: str, tag: str) -> str:
        """Have a file's questions asked. Returns the batch's id.

        Raises:
            CallError: Nothing came back; unless `billed` is False, the batch may have been made.
        """
        asked = {"completion_window": "24h", "endpoint": "/v1/chat/completions", "input_file_id": file_id, "metadata": {_TAG: tag}}
        return str(self._try(lambda: self._litellm.create_batch(**asked, max_retries=0, **self._where)).id)

    def find(self, tag: str) -> str | None:
        """The id of the batch with this tag, among the provider's latest.

        Raises:
            CallError: They cannot be listed.
        """
        listed = self._try(lambda: self._litellm.list_batches(limit=_LISTED, max_retries=0, **self._where))
        for batch in getattr(listed, "data", None) or []:
            if (getattr(batch, "metadata", None) or {}).get(_TAG) == tag:
                return str(batch.id)
        return None

    def look(self, batch_id: str) -> BatchLook:
        """How far a batch is.

        Raises:
            CallError: Nothing came back.
        """
        found = self._try(lambda: self._litellm.retrieve_batch(batch_id, max_retries=0, **self._where))
        counts = getattr(found, "request_counts", None)
        done = (getattr(counts, "completed", 0) or 0) + (getattr(counts, "failed", 0) or 0)
        files = tuple(str(one) for one in (found.output_file_id, found.error_file_id) if one)
        errors = getattr(getattr(found, "errors", None), "data", None) or []
        reason = "; ".join(str(getattr(one, "message", one)) for one in errors[:3])
        return BatchLook(str(found.status), int(done), int(getattr(counts, "total", 0) or 0), files, reason)

    def read(self, file_id: str) -> list[dict[str, Any]]:
        """The rows of a file of answers or errors; what is no JSON object is left out.

        Raises:
            CallError: Nothing came back.
        """
        content = self._try(lambda: self._litellm.file_content(file_id=file_id, max_retries=0, **self._where)).content
        rows = []
        for line in content.decode("utf-8", "replace").split("\n"):
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict):
                rows.append(row)
        return rows

    def reply(self, body: dict[str, Any], conversation: list[dict[str, str]], form: str) -> Reply:
        """What a row's answer says, as of a call."""
        return self._reply(self._litellm.ModelResponse(**body), conversation, form)

    def _try(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:  # litellm passes on errors of several families
            raise self._failure(error) from error

    def _cost(self, prompt: int, completion: int) -> float | None:
        if super()._cost(1, 1) is None:
            return None
        from litellm.cost_calculator import batch_cost_calculator

        usage = self._litellm.Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)
        return float(sum(batch_cost_calculator(usage, model=self.settings.assessor)))

    def _paid(self, answer: Any, prompt: int, completion: int) -> float | None:
        return self._cost(prompt, completion)
