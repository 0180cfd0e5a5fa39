"""Asking a language model, any that LiteLLM speaks to."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from score_rag.errors import AssessorError
from score_rag.reranker.assessment import AssessmentRequest
from score_rag.reranker.settings import AssessmentSettings

__all__ = ["Ask", "ask_litellm"]

Ask = Callable[[list[dict[str, str]], AssessmentRequest], str]
"""Answers a conversation about a request, or raises `AssessorError`. Called from several threads at once."""


def ask_litellm(settings: AssessmentSettings) -> Ask:
    """The language model `settings.assessor`, by its LiteLLM name."""
    litellm = _litellm()

    def ask(conversation: list[dict[str, str]], request: AssessmentRequest) -> str:
        try:
            answer = litellm.completion(
                model=settings.assessor,
                messages=conversation,
                api_base=settings.api_base,
                max_tokens=settings.max_answer_tokens,
                temperature=settings.temperature,
                timeout=settings.timeout,
                num_retries=1,
                response_format={"type": "json_object"},
                drop_params=True,
                metadata={"user_id": request.user_id, "item_id": request.item_id, "as_of": request.as_of},
            )
        except Exception as error:  # litellm wraps every provider's errors in classes of its own and of openai's
            raise AssessorError(
                f"the assessor {settings.assessor!r} could not be asked", where=request.where, found=str(error).splitlines()[0][:300]
            ) from error
        return (answer.choices[0].message.content or "") if answer.choices else ""

    return ask


def _litellm() -> Any:
    # Without this, the import asks a server for a price list, and waits for it.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    litellm.telemetry = False
    litellm.suppress_debug_info = True
    return litellm
