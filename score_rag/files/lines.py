"""Files of JSON lines that are appended to: a killed writer may leave half a line at their end."""

from __future__ import annotations

from pathlib import Path

__all__ = ["drop_torn_line"]


def drop_torn_line(path: Path) -> None:
    """Remove a last line that a killed run did not finish."""
    if path.is_file():
        raw = path.read_bytes()
        if raw and not raw.endswith(b"\n"):
            with path.open("r+b") as stream:
                stream.truncate(raw.rfind(b"\n") + 1)
