"""How a language model is asked for JSON: the strictest form that it takes, found by trying and remembered while the process lives."""

from __future__ import annotations

import threading
from typing import Any

__all__ = ["FORMS", "Ladder", "form_arguments"]

FORMS = ("json_schema", "tool", "json_object", "text")
"""Strictest first. The last asks for nothing: the prompt does."""

_SCHEMA = {
    "type": "object",
    "properties": {"characteristics": {"type": "array", "items": {"type": "string"}}, "reason": {"type": "string"}},
    "required": ["characteristics", "reason"],
    "additionalProperties": False,
}
_TOOL = {"name": "assessment", "description": "Give the assessment.", "parameters": _SCHEMA}
_ARGUMENTS: dict[str, dict[str, Any]] = {
    "json_schema": {"response_format": {"type": "json_schema", "json_schema": {"name": "assessment", "strict": True, "schema": _SCHEMA}}},
    "tool": {
        "tools": [{"type": "function", "function": _TOOL}],
        "tool_choice": {"type": "function", "function": {"name": "assessment"}},
        # LiteLLM would look for tools of its own proxy, whose packages need not be here.
        "_skip_mcp_handler": True,
    },
    "json_object": {"response_format": {"type": "json_object"}},
    "text": {},
}
_worked: dict[tuple[str, str | None], set[str]] = {}
_lock = threading.Lock()


def form_arguments(form: str) -> dict[str, Any]:
    """What a form adds to a call of `litellm.completion`."""
    return _ARGUMENTS[form]


class Ladder:
    """The forms that a model takes. What one job learns of a model, the next one of this process knows.

    Args:
        model: Its LiteLLM name.
        api_base: Where it is served.
    """

    def __init__(self, model: str, api_base: str | None) -> None:
        self._known = (model, api_base)

    def start(self) -> str:
        """The strictest form that has brought a valid answer; as long as none has, the strictest."""
        with _lock:
            worked = _worked.get(self._known, set())
            return next((form for form in FORMS if form in worked), FORMS[0])

    def below(self, form: str) -> str:
        """The form to try after one that failed: itself where it has worked before, so that it is not what failed, or is the last."""
        with _lock:
            stays = form in _worked.get(self._known, set()) or form == FORMS[-1]
        return form if stays else FORMS[FORMS.index(form) + 1]

    @property
    def answers(self) -> bool:
        """Whether the model has brought a valid answer in any form."""
        with _lock:
            return bool(_worked.get(self._known))

    def worked(self, form: str) -> None:
        """A form brought a valid answer."""
        with _lock:
            _worked.setdefault(self._known, set()).add(form)
