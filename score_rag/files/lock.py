"""One writer a folder."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from score_rag.errors import ChangeSetting, DataError, LockedError, Remedy
from score_rag.files.atomic import leftovers, write_json
from score_rag.files.full import full_disk
from score_rag.files.staged import recover_folders

__all__ = ["folder_lock", "writer_of"]

_ELSEWHERE = ChangeSetting({"runs": "FOLDER"})


@contextmanager
def folder_lock(folder: Path | str, *, doing: str, elsewhere: Remedy | str = _ELSEWHERE) -> Iterator[None]:
    """Hold the one writer's place of a folder; refuse at once when another process holds it.

    What a killed writer had moved away from here (see `staged_folder`) is brought back.

    The operating system drops the lock when the process dies, however it dies.

    Args:
        doing: What the writer does, for the message to others.
        elsewhere: What moves the folder, for the message where it cannot be written to.

    Raises:
        LockedError: Another process is writing there; the message says which process, what it does and since when.
        DataError: The folder cannot be written to, or its disk is full.
    """
    from filelock import FileLock, Timeout

    folder = Path(folder)
    holder = folder / ".lock.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        lock.acquire(timeout=0)
    except Timeout as error:
        who = _holder(holder)
        raise LockedError(
            "another process is writing to this folder",
            where=folder,
            found=f"process {who.get('pid', 'unknown')} ({who.get('doing', 'unknown')}), since {who.get('since', 'unknown')}",
            hint="wait for it to end, or stop that process; nothing was changed",
        ) from error
    except OSError as error:
        raise full_disk(error, folder) or DataError(
            "a folder cannot be written to",
            where=folder,
            expected="a folder of yours, or a place for a new one",
            found=error.strerror or str(error),
            hint="choose another folder" + (f": {elsewhere}" if isinstance(elsewhere, str) else ""),
            remedy=None if isinstance(elsewhere, str) else elsewhere,
        ) from error
    try:
        # Whoever holds the lock is this file's only writer: what lies beside it was left by one that was killed, however lately.
        for leftover in leftovers(holder):
            leftover.unlink(missing_ok=True)
        write_json(holder, {"pid": os.getpid(), "doing": doing, "since": time.strftime("%Y-%m-%d %H:%M:%S")})
        recover_folders(folder)
        yield
    except Exception as error:
        if (told := full_disk(error, folder)) is not None:
            raise told from error
        raise
    finally:
        try:
            holder.unlink(missing_ok=True)
        finally:
            lock.release()


def writer_of(folder: Path | str) -> str:
    """Which process writes to a folder, what it does and since when, as far as it says; empty where none is at work there."""
    who = _holder(Path(folder) / ".lock.json")
    try:
        # Signal 0 reaches whoever lives, and does nothing. A killed writer's word stays until the next writer comes.
        os.kill(int(who["pid"]), 0)
    except (KeyError, TypeError, ValueError, OverflowError, ProcessLookupError):
        return ""
    except PermissionError:
        pass
    return f"process {who['pid']} ({who.get('doing', 'unknown')}), since {who.get('since', 'unknown')}"


def _holder(file: Path) -> dict[str, Any]:
    """What the holder of a lock says of itself; nothing where it has just let go, or has not said anything yet."""
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}
