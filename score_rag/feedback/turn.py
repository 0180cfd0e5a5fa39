"""Turns to write: one process at a time, and of it one thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from score_rag.errors import DataError, LockedError
from score_rag.files import full_disk

__all__ = ["turn"]

_PATIENCE = 10.0
"""Seconds to wait for one's turn to write; a turn takes milliseconds."""


@contextmanager
def turn(path: Path, *, make: bool) -> Iterator[bool]:
    """The right to write a log; whether there is one, or may be one.

    Args:
        path: Its file.
        make: Whether to make the folder.

    Raises:
        LockedError: Another process does not end its turn.
        DataError: The disk refuses.
    """
    from filelock import FileLock, Timeout

    try:
        if make:
            path.parent.mkdir(parents=True, exist_ok=True)
        elif not path.exists():
            yield False
            return
        # A file opened once more: it keeps this process's other threads out, too. Readers need no turn.
        with FileLock(path.with_name(".lock"), timeout=_PATIENCE):
            yield True
    except Timeout as error:
        raise LockedError(
            "another process is writing feedback and does not end",
            where=path,
            found=f"no turn within {_PATIENCE:g} seconds",
            hint="send it again: what was taken is known by its id",
        ) from error
    except OSError as error:
        raise full_disk(error, path) or DataError(
            "feedback cannot be written down", where=path, found=error.strerror or str(error), hint="nothing of it was taken"
        ) from error
