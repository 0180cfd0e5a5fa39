"""Files that are either whole or not there: atomic writes, digests, folder locks.

Everything is written aside and moved into place in one rename, so that a process killed at any moment leaves the old file or the
new one, never half of either.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from score_rag.errors import DataError, LockedError

__all__ = [
    "digest_file",
    "digest_folder",
    "digest_json",
    "digest_text",
    "folder_lock",
    "make_once",
    "read_json",
    "shipped_folder",
    "staged_folder",
    "write_json",
    "write_text",
]


def write_text(path: Path | str, text: str) -> None:
    """Write `text` as UTF-8 to `path`: aside, flushed to disk, then moved."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(aside).chmod(0o644)
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys (so equal values give equal bytes)."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Read a JSON file.

    Raises:
        DataError: The file is missing or is not JSON.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError("a file is missing", where=path) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError("a file is not valid JSON", where=path, expected="JSON", found=str(error)) from error


def make_once(folder: Path, *, belongs: str, owner: Path, doing: str, make: Callable[[Path], Any]) -> None:
    """Make a folder's content, unless it is there and belongs to the same things.

    Args:
        folder: Written aside, then moved into place.
        belongs: A word for all that the content depends on.
        owner: The folder whose one writer this is.
        doing: For the message to other writers.
        make: Writes into the folder that it is given; what it returns is kept as `metrics` in `belongs.json`.

    Raises:
        LockedError: Another process writes to `owner`.
    """
    marker = folder / "belongs.json"
    if marker.is_file() and read_json(marker).get("to") == belongs:
        return
    with folder_lock(owner, doing=doing), staged_folder(folder) as aside:
        metrics = make(aside)
        write_json(aside / "belongs.json", {"to": belongs, "metrics": metrics})


@contextmanager
def staged_folder(final: Path | str) -> Iterator[Path]:
    """A folder to write into, which takes the place of `final` when the block ends without an error.

    Leftovers of killed processes (`.NAME.*.tmp` beside it) are removed first; the caller holds the lock of the parent folder.
    """
    final = Path(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    for leftover in final.parent.glob(f".{final.name}.*.tmp"):
        shutil.rmtree(leftover, ignore_errors=True)
    aside = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}.", suffix=".tmp"))
    try:
        aside.chmod(0o755)
        yield aside
        old = final.parent / f".{final.name}.old.tmp"
        if final.exists():
            final.replace(old)
        aside.replace(final)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


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


def digest_folder(path: Path | str, *, without: Sequence[str] = ()) -> str:
    """SHA-256 over the relative names and contents of all files below a folder, but for the subfolders in `without`."""
    path = Path(path)
    names = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    names = [name for name in names if not any(name.startswith(f"{folder}/") for folder in without)]
    return digest_json({name: digest_file(path / name) for name in names})


@contextmanager
def folder_lock(folder: Path | str, *, doing: str) -> Iterator[None]:
    """Hold the one writer's place of a folder; refuse at once when another process holds it.

    The operating system drops the lock when the process dies, however it dies.

    Raises:
        LockedError: Another process is writing there; the message says which process, what it does and since when.
    """
    from filelock import FileLock, Timeout

    folder = Path(folder)
    holder = folder / ".lock.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        lock.acquire(timeout=0)
    except Timeout as error:
        who = json.loads(holder.read_text(encoding="utf-8")) if holder.exists() else {}
        raise LockedError(
            "another process is writing to this folder",
            where=folder,
            found=f"process {who.get('pid', 'unknown')} ({who.get('doing', 'unknown')}), since {who.get('since', 'unknown')}",
            hint="wait for it to end, or stop that process; nothing was changed",
        ) from error
    except OSError as error:
        raise DataError(
            "a folder cannot be written to",
            where=folder,
            expected="a folder of yours, or a place for a new one",
            found=error.strerror or str(error),
            hint="choose another: --set runs=FOLDER",
        ) from error
    try:
        write_json(holder, {"pid": os.getpid(), "doing": doing, "since": time.strftime("%Y-%m-%d %H:%M:%S")})
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def shipped_folder(kind: str) -> Path:
    """The folder of shipped `prompts` or `pipelines`: inside an installed package, or at the top of a checkout."""
    here = Path(__file__).resolve().parent
    inside = here / "_shipped" / kind
    return inside if inside.is_dir() else here.parent / kind
