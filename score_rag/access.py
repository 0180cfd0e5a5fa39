"""Who may ask a server of ours: loopback alone, or whoever sends the key; one rule for HTTP and for MCP."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
from collections.abc import Mapping

from score_rag.errors import InputError

__all__ = ["API_KEY", "Key", "api_key", "check_access", "is_loopback"]

API_KEY = "SCORE_RAG_API_KEY"
"""The environment variable that holds the key: an argument could be read by every process of the machine."""
_SHORTEST = 16


def api_key() -> str | None:
    """The key of the environment; None where there is none."""
    return os.environ.get(API_KEY) or None


def check_access(host: str, key: str | None) -> None:
    """Hold an address and a key to the rule.

    Raises:
        InputError: The address is open to others and there is no key, or the key is too short.
    """
    if key is not None and len(key.strip()) < _SHORTEST:
        raise InputError("the API key is too short to keep anybody out", where=API_KEY, expected=f"at least {_SHORTEST} signs")
    if key is None and not is_loopback(host):
        raise InputError(
            "an address that others can reach needs an API key",
            where=f"--host {host}",
            expected="127.0.0.1, or a key",
            hint=f"set the environment variable {API_KEY}",
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address.

    >>> [is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "[::1]", "0.0.0.0", "example.org")]
    [True, True, True, True, False, False]
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Key:
    """A key, compared in constant time, of whatever length what is sent is.

    >>> key = Key("a key of some length")
    >>> [key.is_sent(headers) for headers in ({"authorization": "bearer a key of some length"}, {"x-api-key": "a key"}, {})]
    [True, False, False]
    """

    def __init__(self, key: str) -> None:
        self._digest = _digest(key.strip())

    def is_sent(self, headers: Mapping[str, str]) -> bool:
        """Whether a request carries it: `Authorization: Bearer KEY`, or `X-API-Key: KEY`; names of headers in small letters."""
        bearer = headers.get("authorization", "")
        given = bearer[7:] if bearer[:7].lower() == "bearer " else headers.get("x-api-key", "")
        return hmac.compare_digest(_digest(given.strip()), self._digest)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
