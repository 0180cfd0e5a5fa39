"""Copies of a run for tests to write to: weights are hard links, all else is copied."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

# Less than that is copied. The toy run's two encoders are more, and 280 of its 290 MB.
_LARGE = 1 << 20


def weights(folder: Path) -> list[Path]:
    """The files under a folder that copies share with it."""
    return sorted(path for path in folder.rglob("*") if _shared(path))


def _shared(path: Path) -> bool:
    return path.suffix in (".safetensors", ".onnx") and path.is_file() and path.stat().st_size >= _LARGE


def copy_run(source: str | Path, target: str | Path, *, leave: tuple[str, ...] = ()) -> Path:
    """Copies a run's folder without the names in `leave`; what exists at the target stays.

    The library replaces weights and never writes into them, so a hundred copies take the room of one. `digest` tells when that was not so.
    """
    ignore = shutil.ignore_patterns(*leave)
    return Path(shutil.copytree(source, target, ignore=ignore, copy_function=_link_or_copy, dirs_exist_ok=True))


def _link_or_copy(source: str, target: str) -> None:
    if _shared(Path(source)):
        os.link(source, target)
    else:
        shutil.copy2(source, target)


def digest(folder: Path) -> dict[str, str]:
    """Of every shared file under a folder: its name there and the SHA-256 of its bytes."""
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in weights(folder)}
