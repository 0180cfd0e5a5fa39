"""Files and folders that whoever the umask allows can read: libraries that write aside leave their files to the owner alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from uuid import uuid4

__all__ = ["new_file", "new_folder", "share"]


def new_file(beside: Path) -> tuple[int, Path]:
    """A new file to write aside (`.NAME.X.tmp`), open, with the rights that the umask gives."""
    aside = _aside(beside)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    return os.open(aside, flags, 0o666), aside


def new_folder(beside: Path) -> Path:
    """A new folder to write into aside (`.NAME.X.tmp`), with the rights that the umask gives."""
    aside = _aside(beside)
    aside.mkdir()
    return aside


def share(made: Path | str) -> None:
    """Give a file, or all that lies in a folder, the rights that a new file there has, where it has fewer."""
    made = Path(made)
    within = made if made.is_dir() else made.parent
    handle, probe = new_file(within / "rights")
    try:
        given = stat.S_IMODE(os.fstat(handle).st_mode) & 0o666
    finally:
        os.close(handle)
        probe.unlink()
    for path in made.rglob("*") if made.is_dir() else [made]:
        if path.is_symlink():
            continue
        # Whoever may read a folder may enter it.
        wanted = given | (given & 0o444) >> 2 if path.is_dir() else given
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & wanted != wanted:
            path.chmod(mode | wanted)


def _aside(beside: Path) -> Path:
    return beside.with_name(f".{beside.name}.{uuid4().hex[:12]}.tmp")
