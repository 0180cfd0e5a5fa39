"""The files of a published data set in a folder, by the names that its publisher gave them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from score_rag.errors import ChangeSetting, DataError

__all__ = ["first_there"]


def first_there(folder: Path, names: Sequence[str], what: str, expected: str) -> Path:
    """The first of several names that is there.

    Args:
        folder: Where to look.
        names: Of one file, as its publisher wrote it at different times.
        what: The data set, for messages.
        expected: Its files, for messages.

    Raises:
        DataError: None of them is.
    """
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is None:
        raise DataError(
            f"this folder holds no {what}: {names[0]} is missing",
            where=folder,
            expected=expected,
            found=", ".join(sorted(file.name for file in folder.iterdir())[:8]) or "an empty folder",
            hint="say where the data is",
            remedy=ChangeSetting({"data.path": "FOLDER"}),
        )
    return found
