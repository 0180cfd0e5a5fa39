"""Files of JSON lines that are appended to: a killed writer may leave half a line at their end, a disk another bit in any."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["drop_torn_line", "is_intact", "marked_line"]

_MARK = re.compile(rb',"crc":"([0-9a-f]{8})"\}\s*$')


def marked_line(content: Mapping[str, Any], *, ascii_only: bool = False) -> str:
    """A JSON object and its end of line; its last value, `crc`, is the CRC-32 of the line without it.

    >>> is_intact(marked_line({"liked": True})), is_intact(marked_line({"liked": True}).replace("true", "false"))
    (True, False)
    """
    text = json.dumps(content, ensure_ascii=ascii_only, separators=(",", ":"))
    return f'{text[:-1]},"crc":"{zlib.crc32(text.encode()):08x}"}}\n'


def is_intact(line: bytes | str) -> bool:
    """Whether a line is what `marked_line` wrote; one without a mark, of an earlier version or another hand, is believed."""
    raw = line.encode("utf-8", "surrogatepass") if isinstance(line, str) else line
    found = _MARK.search(raw)
    return found is None or int(found[1], 16) == zlib.crc32(raw[: found.start()] + b"}")


def drop_torn_line(path: Path) -> None:
    """Remove a last line that a killed run did not finish."""
    if path.is_file():
        raw = path.read_bytes()
        if raw and not raw.endswith(b"\n"):
            with path.open("r+b") as stream:
                stream.truncate(raw.rfind(b"\n") + 1)
