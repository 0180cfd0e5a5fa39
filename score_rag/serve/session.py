"""A browser's way in where a key is set: typed once into a form, then a cookie that is worth nothing to who does not have the key.

The cookie holds a time and its signature by the key, so that every worker knows it and none keeps a list. It opens the explorer's pages
alone; programs send the key itself.
"""

from __future__ import annotations

import hashlib
import hmac
import time

__all__ = ["COOKIE", "LASTS", "new_token", "token_holds", "token_of"]

COOKIE = "score_rag_explorer"
LASTS = 12 * 3600
"""Seconds."""


def new_token(key: str, *, now: float | None = None) -> str:
    """What the cookie holds.

    >>> token = new_token("a key of some length", now=1000)
    >>> token_holds("a key of some length", token, now=1001), token_holds("another key of length", token, now=1001)
    (True, False)
    >>> token_holds("a key of some length", token, now=1000 + LASTS)
    False
    """
    until = int((time.time() if now is None else now) + LASTS)
    return f"{until}.{_sign(key, until)}"


def token_holds(key: str, token: str, *, now: float | None = None) -> bool:
    """Whether a token was made with the key, and its time is not over."""
    until, _, signature = token.partition(".")
    if not (until.isascii() and until.isdigit() and len(until) < 16):
        return False
    right = hmac.compare_digest(signature.encode("utf-8", "surrogateescape"), _sign(key, int(until)).encode())
    return right and (time.time() if now is None else now) < int(until)


def token_of(header: str) -> str:
    """The token in a `Cookie` header; empty where there is none.

    >>> token_of("a=b; score_rag_explorer=5.ff; c=d")
    '5.ff'
    """
    for part in header.split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE:
            return value
    return ""


def _sign(key: str, until: int) -> str:
    return hmac.new(key.encode("utf-8", "surrogateescape"), f"explorer until {until}".encode(), hashlib.sha256).hexdigest()
