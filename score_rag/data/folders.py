"""The files of a published data set in a folder, by the names that its publisher gave them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from score_rag.errors import ChangeSetting, DataError

__all__ = ["first_there", "not_here"]

_FOLDER = ChangeSetting({"data.path": "FOLDER"})


def not_here(
    what: str, where: Path, expected: str, *, folder: Path, hint: str = "say where the data is", remedy: ChangeSetting = _FOLDER
) -> DataError:
    """The error of a data set's files that are not where they should be; it names what is there instead.

    Args:
        what: What is wrong.
        where: The folder, or the file that is missing.
        expected: The data set's files.
        folder: Whose files are named.
        hint: What to do.
        remedy: The setting with which.
    """
    found = ", ".join(sorted(file.name for file in folder.iterdir())[:8]) or "an empty folder"
    return DataError(what, where=where, expected=expected, found=found, hint=hint, remedy=remedy)


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
        raise not_here(f"this folder holds no {what}: {names[0]} is missing", folder, expected, folder=folder)
    return found
