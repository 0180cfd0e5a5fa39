"""Asking a server again that could not answer just now, and what its refusals mean."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from score_rag.errors import Consult, ModelError

__all__ = ["AGAIN", "HINTS", "Unavailable", "persist", "said"]

T = TypeVar("T")

AGAIN = (408, 425, 429, 500, 502, 503, 504)
"""Statuses of a server that may answer a moment later."""

HINTS = {
    401: "set the environment variable that holds its key, and name it: api_key_env",
    403: "set the environment variable that holds its key, and name it: api_key_env",
    404: "does this server have this call, and this model? see its /v1/models",
}
"""What to do about a refusal, by its status."""


class Unavailable(Exception):
    """The server could not answer just now; it may a moment later."""


def persist(attempt: Callable[[], T], *, retries: int, kind: str, where: str) -> T:
    """What an attempt returns; one that raises `Unavailable` is repeated after a pause.

    Raises:
        ModelError: The last attempt failed too.
    """
    for number in range(retries + 1):
        if number:
            time.sleep(min(0.1 * 2**number, 5.0))
        try:
            return attempt()
        except Unavailable as error:
            last = error
    raise ModelError(
        f"the {kind} server does not answer",
        where=where,
        found=f"{last} ({retries + 1} attempts)",
        hint="is it running?",
        remedy=Consult("engine", where),
    ) from last


def said(response: Any) -> str:
    """Status and message of an error, in whichever of their forms."""
    try:
        body = response.json()
    except ValueError:
        body = response.text
    if isinstance(body, dict):
        error = body.get("error", body)
        body = error.get("message", error) if isinstance(error, dict) else error
    return f"HTTP {response.status_code}: {str(body)[:300]}"
