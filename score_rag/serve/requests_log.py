"""Which answers were given, for those who want to know what became of them: ids, items and probabilities, never a history.

A line a request in a file a day, `requests-2026-11-28.jsonl`; what is older than thirty days is removed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["RequestsLog", "read_requests"]

_DAYS = 30


class RequestsLog:
    """Writes lines; several processes may, each line in one call of the operating system.

    Args:
        folder: The feedback's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._day = ""
        self._handle: int | None = None

    def write(self, request_id: str, path: str, route: str, generation: int, items: Sequence[tuple[str, float]]) -> None:
        """Keep one answer."""
        told = {
            "id": request_id,
            "at": round(time.time(), 3),
            "path": path,
            "route": route,
            "generation": generation,
            "items": [[item, round(probability, 5)] for item, probability in items],
        }
        os.write(self._open(), json.dumps(told, separators=(",", ":")).encode() + b"\n")

    def _open(self) -> int:
        day = time.strftime("%Y-%m-%d", time.gmtime())
        if self._handle is None or day != self._day:
            self.close()
            self.folder.mkdir(parents=True, exist_ok=True)
            self._day, name = day, self.folder / f"requests-{day}.jsonl"
            self._handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o666)
            for old in self.folder.glob("requests-*.jsonl"):
                # Another worker may remove it at the same time.
                with suppress(FileNotFoundError):
                    if time.time() - old.stat().st_mtime > _DAYS * 86400:
                        old.unlink()
        return self._handle

    def close(self) -> None:
        """Let go of the file."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def read_requests(folder: Path) -> Iterator[dict[str, Any]]:
    """All answers that are kept, oldest first; half a line is no answer."""
    for file in sorted(folder.glob("requests-*.jsonl")):
        with file.open("rb") as stream:
            for line in stream:
                try:
                    said = json.loads(line)
                except ValueError:
                    continue
                if isinstance(said, dict) and isinstance(said.get("items"), list) and isinstance(said.get("id"), str):
                    yield said
