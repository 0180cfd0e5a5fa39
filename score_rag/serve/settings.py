"""How a server runs, and what it lets in."""

from __future__ import annotations

from dataclasses import dataclass

from score_rag.access import check_access

__all__ = ["ServeSettings"]


@dataclass(frozen=True)
class ServeSettings:
    """Settings of a server.

    Attributes:
        host: Address to listen on; anything but loopback needs a key.
        port: 0 takes a free one.
        workers: Processes, each with its own models.
        threads: Batches that a process answers at once. Each computes with the cores that are left to it, so that together they take all.
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
        InputError: As `check_access`.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    threads: int = 1
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
        check_access(self.host, self.api_key)
