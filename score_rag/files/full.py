"""A disk that is full: each library says so in words of its own, we in ours."""

from __future__ import annotations

import errno
import re
import shutil
from pathlib import Path

from score_rag.errors import ChangeSetting, DataError, ScoreError

__all__ = ["full_disk"]

_CODES = {errno.ENOSPC, errno.EDQUOT}
_WORDS = re.compile(
    r"no space left on device|disk quota exceeded|disk is full|not enough space on the disk|os error (28|122)\b"
    # NumPy's word for a write that came short, without the number of an error.
    r"|^\d+ requested and \d+ written$",
    re.IGNORECASE,
)
_TORCH = re.compile(r"PytorchStreamWriter|inline_container")
"""What PyTorch says when a write comes short, whatever the cause."""


def full_disk(error: BaseException, where: Path | str, *, written: int = 0) -> DataError | None:
    """The error to raise where another one, or what caused it, says that the disk is full; None where none does.

    Args:
        where: What was being written.
        written: Bytes of it that had been written, and are removed again.
    """
    if isinstance(error, ScoreError) or not _says_full(error, Path(where)):
        return None
    free = shutil.disk_usage(_there(Path(where))).free
    return DataError(
        "the disk is full",
        where=where,
        expected=f"room for more than {_size(free + written)}",
        found=f"{_size(free)} free" + (f"; {_size(written)} were half written and are removed again" if written else ""),
        hint="make room there and type the same command again: what is finished is kept; or choose another folder",
        remedy=ChangeSetting({"runs": "FOLDER"}),
    )


def _says_full(error: BaseException, where: Path) -> bool:
    seen: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in seen:
        seen.append(link)
        if isinstance(link, OSError) and link.errno in _CODES:
            return True
        text = str(link)
        if _WORDS.search(text) or (_TORCH.search(text) and shutil.disk_usage(_there(where)).free < 1_000_000):
            return True
        link = link.__cause__ or link.__context__
    return False


def _there(path: Path) -> Path:
    """The nearest folder above that exists."""
    return next((folder for folder in (path, *path.absolute().parents) if folder.exists()), Path())


def _size(count: int) -> str:
    """
    >>> _size(999), _size(24_500), _size(3_100_000_000)
    ('999 bytes', '24 kB', '3.1 GB')
    """
    if count < 1000:
        return f"{count} bytes"
    if count < 1_000_000:
        return f"{count // 1000} kB"
    return f"{count / 1e6:.1f} MB" if count < 1_000_000_000 else f"{count / 1e9:.1f} GB"
