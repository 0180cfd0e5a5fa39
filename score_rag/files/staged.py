"""Folders that are either whole or not there: staged beside their place, then put into it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from score_rag.files.atomic import leftovers
from score_rag.files.exchange import exchange
from score_rag.files.full import full_disk
from score_rag.files.modes import new_folder, share

__all__ = ["recover_folder", "recover_folders", "staged_folder"]

_OLD = ".old.tmp"


@contextmanager
def staged_folder(final: Path | str) -> Iterator[Path]:
    """A folder to write into, which takes the place of `final` when the block ends without an error.

    A process killed at any moment leaves the old content or the new one, whole. Where the file system can exchange two names in one step
    (Linux, macOS), it is at `final` all the time. Elsewhere the old content is away for a moment, whole, as `.NAME.old.tmp`; whoever comes
    next brings it back: this function, `recover_folder`, or `folder_lock` of the parent folder.

    All in it can be read by whoever the umask allows, whatever wrote it. A full disk is one `DataError`, whatever noticed it.

    Other leftovers of killed processes (`.NAME.*.tmp` beside it) are removed first; the caller holds the lock of the parent folder.
    """
    final = Path(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    recover_folder(final)
    for leftover in leftovers(final):
        _remove(leftover)
    aside = new_folder(final)
    try:
        yield aside
        share(aside)
        _put_in_place(aside, final)
    except Exception as error:
        if (told := full_disk(error, final, written=_bytes(aside))) is not None:
            raise told from error
        raise
    finally:
        # Here is now what was staged and failed, or what was replaced, or nothing.
        _remove(aside)


def recover_folder(final: Path | str) -> None:
    """Bring back what a killed process had moved away to make room for new content, and had not replaced yet.

    For readers of a staged folder; the caller is its only writer.
    """
    final = Path(final)
    old = _away(final)
    if not os.path.lexists(old):
        return
    if os.path.lexists(final):
        _discard(old)
    else:
        old.replace(final)


def recover_folders(parent: Path) -> None:
    """`recover_folder` for all that lie in `parent`; the caller holds its lock."""
    for old in list(parent.glob(f".*{_OLD}")):
        recover_folder(parent / old.name[1 : -len(_OLD)])


def _put_in_place(aside: Path, final: Path) -> None:
    """Put `aside` where `final` is or was to be; what was there before is at `aside` afterwards, or gone."""
    if not os.path.lexists(final):
        aside.replace(final)
    elif not exchange(aside, final):
        old = _away(final)
        final.replace(old)
        try:
            aside.replace(final)
        except BaseException:
            recover_folder(final)
            raise
        _discard(old)


def _away(final: Path) -> Path:
    """Where the old content waits, whole, while `final` has none."""
    return final.parent / f".{final.name}{_OLD}"


def _discard(old: Path) -> None:
    """Remove a folder; it loses its name first, so that nobody brings back half of it."""
    unnamed = old.with_name(f"{old.name.removesuffix(_OLD)}.{uuid4().hex[:8]}.tmp")
    old.replace(unnamed)
    _remove(unnamed)


def _bytes(folder: Path) -> int:
    """What the files of a folder hold together."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _remove(path: Path) -> None:
    """Remove what is at `path`, as far as it can be removed."""
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)
