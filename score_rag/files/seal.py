"""Whether files are still what was written: each is held to the digest that the record of its folder has of it.

A disk, a copy or a hand may change a file and leave its length alone; a flipped bit in a weight or a label still reads well, and answers
otherwise. Whoever opens a part of a run therefore asks here first. A record is sealed itself: it holds a digest of all else that it says.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from score_rag.errors import DataError, RunStage, StageError
from score_rag.files.atomic import digest_file, digest_json, read_json

__all__ = ["RECORD", "VERIFY", "changed_file", "check_sealed", "digests_of", "is_whole", "sealed"]

RECORD = "finished.json"
"""The record of a stage's folder; its `digests` are SHA-256 by the file's name below the folder."""
VERIFY = "SCORE_RAG_VERIFY"
"""The environment variable that turns the check at opening off (`0`), for a disk that is trusted or checked otherwise."""
_SEAL = "seal"
_DEEPEST = 3
_seen: dict[str, tuple[str, int, int, int]] = {}
"""Files that this process has held to a digest, as they were then: one that nobody has touched since is not read again."""


def sealed(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record with a digest of what it says.

    >>> is_whole(sealed({"files": 3})), is_whole({**sealed({"files": 3}), "files": 4})
    (True, False)
    """
    # As it will be read: JSON has no other keys than texts.
    said = json.loads(json.dumps(record))
    return {**said, _SEAL: digest_json(said)}


def is_whole(record: Mapping[str, Any]) -> bool:
    """Whether a record says what it said when it was sealed; one of an earlier version, without a seal, is believed."""
    return _SEAL not in record or record[_SEAL] == digest_json({name: value for name, value in record.items() if name != _SEAL})


def digests_of(folder: Path, *, without: Sequence[str] = ()) -> dict[str, str]:
    """SHA-256 of every file below a folder, by name, but for the subfolders in `without`."""
    names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    return {name: digest_file(folder / name) for name in names if PurePosixPath(name).parts[0] not in without}


def changed_file(folder: Path, digests: Mapping[str, str]) -> tuple[Path, str] | None:
    """The first file that is not what its digest says, and what is the matter; None where all are.

    A file that this process has read before and that nobody has touched since is not read again.
    """
    for name, digest in digests.items():
        file = folder / name
        try:
            found = file.stat()
            stamp = (digest, found.st_size, found.st_ino, found.st_mtime_ns)
            if _seen.get(key := str(file.absolute())) == stamp:
                continue
            if (there := digest_file(file)) != digest:
                return file, f"sha256 {there[:16]}..."
            _seen[key] = stamp
        except OSError as error:
            return file, error.strerror or str(error)
    return None


def check_sealed(path: Path | str, *, served: bool = False) -> None:
    """Hold a file, or all files below a folder, to the record of the finished stage that they lie in; outside a stage there is none.

    Args:
        served: But for weights whose ONNX form lies beside them: whoever trains on reads those, and asks for them by name.

    Raises:
        StageError: A file was changed, or is missing.
    """
    path = Path(path).absolute()
    record = _record(path)
    if record is None or os.environ.get(VERIFY) == "0":
        return
    folder, digests = record
    below = "" if path == folder else path.relative_to(folder).as_posix()
    asked = {name: digest for name, digest in digests.items() if not below or name == below or name.startswith(f"{below}/")}
    if served:
        asked = {name: digest for name, digest in asked.items() if not _is_twin(name, digests)}
    if (bad := changed_file(folder, asked)) is not None:
        file, found = bad
        raise StageError(
            "a file of a finished stage is not what was written: nothing is answered from it",
            where=file,
            expected=f"sha256 {digests[file.relative_to(folder).as_posix()][:16]}...",
            found=found,
            hint="bring back the file, or make it again",
            remedy=RunStage(folder.name, again=True),
        )


def _record(path: Path) -> tuple[Path, dict[str, str]] | None:
    """(The stage's folder that something lies in, its digests)."""
    for folder in (path, *path.parents[:_DEEPEST]):
        if (folder / RECORD).is_file():
            try:
                found = read_json(folder / RECORD)
            except DataError:
                return None
            digests = found.get("digests") if isinstance(found, dict) else None
            return (folder, digests) if isinstance(digests, dict) else None
    return None


def _is_twin(name: str, names: Mapping[str, str]) -> bool:
    place = PurePosixPath(name)
    return place.suffix == ".safetensors" and any((above / "model.onnx").as_posix() in names for above in list(place.parents)[:2])
