"""How a server runs, and what it lets in."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from score_rag.errors import InputError

__all__ = ["API_KEY", "ServeSettings"]

API_KEY = "SCORE_RAG_API_KEY"
"""The environment variable that holds the key: an argument could be read by every process of the machine."""


@dataclass(frozen=True)
class ServeSettings:
    """Settings of a server.

    Attributes:
        host: Address to listen on; anything but loopback needs a key.
        port: 0 takes a free one.
        workers: Processes, each with its own models.
        api_key: What every request must carry; None lets in who reaches it, and only by a loopback name.
        deadline: Seconds that an answer may take.
        max_body: Bytes of a request.
        waiting: Questions (a user and an item each) that may wait in a process; beyond, requests are refused with 429.
        requests: Requests under way at once in a process; likewise.
        gather: Seconds that a question waits for others to be answered with.
        batch: Questions in a batch.
        refresh: Seconds between looks at index and feedback while nobody asks.
        keep_requests: Whether ids, items and probabilities of answers are kept for `score-rag feedback report`.

    Raises:
        InputError: The address is open to others, and there is no key.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    api_key: str | None = None
    deadline: float = 30.0
    max_body: int = 1_000_000
    waiting: int = 4096
    requests: int = 128
    gather: float = 0.004
    batch: int = 64
    refresh: float = 1.0
    keep_requests: bool = True

    def __post_init__(self) -> None:
        if self.api_key is not None and len(self.api_key) < 16:
            raise InputError("the API key is too short to keep anybody out", where=API_KEY, expected="at least 16 signs")
        if self.api_key is None and not is_loopback(self.host):
            raise InputError(
                "an address that others can reach needs an API key",
                where=f"--host {self.host}",
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
