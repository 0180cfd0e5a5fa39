"""What a request is answered with that cannot be answered: one form for all, with a kind that a program can tell apart."""

from __future__ import annotations

from typing import Any

from score_rag.errors import ConfigError, InputError, LockedError, ScoreError

__all__ = ["Refusal", "Unknown", "of_error"]


class Refusal(Exception):
    """An answer that is none.

    Args:
        status: HTTP's.
        kind: `unknown_user`, `unknown_item`, `unknown_path`, `invalid`, `unauthorized`, `forbidden`, `too_large`, `not_json`, `busy`,
            `late`, `starting`, `failed`.
        message: One sentence.
        more: `where`, `expected`, `found`, `hint`.
        retry: Seconds after which to try again.
    """

    def __init__(self, status: int, kind: str, message: str, *, retry: float | None = None, **more: Any) -> None:
        super().__init__(message)
        self.status, self.kind, self.message, self.retry = status, kind, message, retry
        self.more = {name: value for name, value in more.items() if value is not None}

    def body(self, request_id: str) -> dict[str, Any]:
        """The JSON."""
        return {"error": {"kind": self.kind, "message": self.message, **self.more, "request_id": request_id}}


class Unknown(InputError):
    """There is no such user or item; `kind` says which."""

    def __init__(self, kind: str, what: str, **more: Any) -> None:
        super().__init__(what, **more)
        self.kind = kind


def of_error(error: Exception) -> Refusal:
    """An error of ours as what a client should know; of anything else, that it failed and nothing more."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, Unknown):
        return Refusal(404, error.kind, error.what, expected=error.expected, found=error.found, hint=error.hint)
    if isinstance(error, InputError) and not isinstance(error, ConfigError):
        return Refusal(422, "invalid", error.what, where=error.where, expected=error.expected, found=error.found, hint=error.hint)
    if isinstance(error, LockedError):
        return Refusal(503, "busy", error.what, hint=error.hint, retry=1)
    if isinstance(error, ScoreError):
        # Where it is would tell of this machine's files.
        return Refusal(500, "failed", error.what)
    return Refusal(500, "failed", "something went wrong here; the server's log says what")
