"""Two paths trade places in one step of the file system, where it can: at no moment is either name without a folder."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path
from typing import Any

__all__ = ["exchange"]

_AT_FDCWD = -100
_LINUX_RENAME_EXCHANGE = 2
_MACOS_RENAME_SWAP = 2
_UNABLE = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM}
"""What a kernel, a sandbox or a file system says that cannot do it."""


def exchange(one: Path, other: Path) -> bool:
    """Let two paths trade places atomically.

    Returns:
        False where the operating system or the file system cannot; then nothing was changed.

    Raises:
        OSError: It can, and refused: a path is missing, or must not be changed.
    """
    names = os.fsencode(one), os.fsencode(other)
    library: Any = _library()
    if hasattr(library, "renameat2"):
        status = library.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], ctypes.c_uint(_LINUX_RENAME_EXCHANGE))
    elif hasattr(library, "renamex_np"):
        status = library.renamex_np(names[0], names[1], ctypes.c_uint(_MACOS_RENAME_SWAP))
    else:
        return False
    if status == 0:
        return True
    code = ctypes.get_errno()
    if code in _UNABLE:
        return False
    raise OSError(code, os.strerror(code), str(one), None, str(other))


def _library() -> Any:
    """The C library; None on Windows."""
    return ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None
