"""Folders that are made once, and made again when what they depend on has changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from score_rag.errors import DataError
from score_rag.files.atomic import read_json, write_json
from score_rag.files.lock import folder_lock
from score_rag.files.staged import recover_folder, staged_folder

__all__ = ["make_once"]


def make_once(folder: Path, *, belongs: str, owner: Path, doing: str, make: Callable[[Path], Any], **options: Any) -> None:
    """Make a folder's content, unless it is there and belongs to the same things.

    Args:
        folder: Written aside, then moved into place.
        belongs: A digest of all that the content depends on.
        owner: The folder whose one writer this is: one that `folder` lies in, however deep.
        doing: For the message to other writers.
        make: Writes into the folder that it is given; what it returns is kept as `metrics` in `belongs.json`.
        options: Of `folder_lock`.

    Raises:
        LockedError: Another process writes to `owner`.
    """
    if _belongs(folder, belongs):
        return
    with folder_lock(owner, doing=doing, **options):
        recover_folder(folder)
        # It was away, or another process has made it since.
        if _belongs(folder, belongs):
            return
        with staged_folder(folder) as aside:
            metrics = make(aside)
            write_json(aside / "belongs.json", {"to": belongs, "metrics": metrics})


def _belongs(folder: Path, to: str) -> bool:
    try:
        said = read_json(folder / "belongs.json")
    except DataError:
        return False
    return isinstance(said, dict) and said.get("to") == to
