"""How lines reach the disk, and half of them leave it: what a log does to its file."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["append_whole", "mend", "sync_folder"]


def mend(handle: int) -> None:
    """Remove half a line that a killed writer left at the end."""
    size = os.fstat(handle).st_size
    end = size
    while end:
        start = max(0, end - 65536)
        part = os.pread(handle, end - start, start)
        if end == size and part.endswith(b"\n"):
            return
        if (place := part.rfind(b"\n")) >= 0:
            end = start + place + 1
            break
        end = start
    if end != size:
        os.ftruncate(handle, end)
        os.fsync(handle)


def append_whole(handle: int, content: bytes) -> None:
    """Write at the end and flush to the disk; where that fails, nothing of it is there.

    Raises:
        OSError: The disk is full or failed.
    """
    start = os.fstat(handle).st_size
    try:
        done = 0
        while done < len(content):
            done += os.pwrite(handle, content[done:], start + done)
        os.fsync(handle)
    except BaseException:
        # Not acknowledged, so not there: neither now nor after the next start.
        os.ftruncate(handle, start)
        raise


def sync_folder(folder: Path) -> None:
    """A new file's name is on the disk only when its folder is."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
