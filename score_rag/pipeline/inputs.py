"""Files from outside that a stage read: what they were, and whether they still are, without reading gigabytes to find out.

A record keeps each file's path, size, time of last change and digest. A file whose size and time are as recorded is taken to be the same;
only where they differ is it read. `score-rag run` does not rely on that, and reads every file.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from score_rag.files import digest_file

__all__ = ["input_digests", "record_inputs"]

_SETTLED = 2_000_000_000
"""Nanoseconds; a file changed less long ago could change again without its time telling: file systems count in steps of up to 2 s."""


def record_inputs(files: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """A record of files for `finished.json`.

    Returns:
        By the file's name: `path`, `size`, `mtime_ns` (None where the file has only just changed, so that it says nothing), `sha256`.

    Raises:
        OSError: A file is not there.
    """
    records = {}
    for name, file in _named(files).items():
        # Looked at before it is read: if it changes in between, the record's time is not the file's, and it is read again.
        now, found = time.time_ns(), file.stat()
        settled = found.st_mtime_ns if now - found.st_mtime_ns > _SETTLED else None
        records[name] = {"path": str(file), "size": found.st_size, "mtime_ns": settled, "sha256": digest_file(file)}
    return records


def input_digests(files: Sequence[Path], records: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, str]:
    """SHA-256 of each file, by its name.

    Args:
        files: Where the files are now; that they were elsewhere before is no change.
        records: What `record_inputs` said of them before. A file of the recorded size and time is not read; without records, all are.

    Raises:
        OSError: A file is not there.
    """
    digests = {}
    for name, file in _named(files).items():
        record = (records or {}).get(name, {})
        found = file.stat()
        same = record.get("mtime_ns") == found.st_mtime_ns and record.get("size") == found.st_size
        digests[name] = str(record["sha256"]) if same else digest_file(file)
    return digests


def _named(files: Sequence[Path]) -> dict[str, Path]:
    """Files by name; two files of one name in two folders are two files, told apart by their number."""
    names = [file.name for file in files]
    return {file.name if names.count(file.name) == 1 else f"{number}:{file.name}": file for number, file in enumerate(files)}
