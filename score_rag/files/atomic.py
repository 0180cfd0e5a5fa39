"""Single files: written whole or not at all, read with an error that names them, and their digests."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

from score_rag.errors import DataError
from score_rag.files.modes import new_file

__all__ = ["digest_file", "digest_json", "digest_text", "leftovers", "read_json", "write_json", "write_text"]

_ABANDONED = 3600.0
"""Seconds after which a file that was written aside is no longer being written: writing one takes milliseconds."""


def write_text(path: Path | str, text: str) -> None:
    """Write `text` as UTF-8 to `path`: aside, flushed to disk, then moved.

    What a killed process left aside (`.NAME.*.tmp`) more than an hour ago is removed; younger files may be another writer's.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in leftovers(path):
        _remove_abandoned(leftover)
    handle, aside = new_file(path)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def leftovers(path: Path) -> list[Path]:
    """What was written aside for `path` and is still there: `.NAME.X.tmp`, where X has no dot.

    A dot in X is of another name's: `.run.old.old.tmp` belongs to `run.old`, not to `run`.
    """
    start, end = f".{path.name}.", ".tmp"
    names = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
    # Not by `glob`, to which a name such as `run[1]` is a pattern.
    return sorted(
        path.parent / name
        for name in names
        if name.startswith(start) and name.endswith(end) and len(name) > len(start + end) and "." not in name[len(start) : -len(end)]
    )


def _remove_abandoned(aside: Path) -> None:
    try:
        if time.time() - aside.stat().st_mtime > _ABANDONED:
            aside.unlink()
    except OSError:
        # Gone already, or a folder: not this writer's to remove, and nothing that keeps it from writing.
        return


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys (so equal values give equal bytes)."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Read a JSON file.

    Raises:
        DataError: The file is missing, cannot be read, or is not JSON.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError("a file is missing", where=path) from error
    except OSError as error:
        raise DataError("a file cannot be read", where=path, found=error.strerror or str(error)) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError("a file is not valid JSON", where=path, expected="JSON", found=str(error)) from error


def digest_text(text: str) -> str:
    """SHA-256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def digest_json(value: Any) -> str:
    """SHA-256 of a JSON value, independent of key order."""
    return digest_text(json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str))


def digest_file(path: Path | str) -> str:
    """SHA-256 of a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
