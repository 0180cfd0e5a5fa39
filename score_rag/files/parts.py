"""Where a trained part is: in a folder of its own, or in the run that made it."""

from __future__ import annotations

from pathlib import Path

from score_rag.errors import ModelError, RunStage

__all__ = ["part_folder"]


def part_folder(folder: Path | str, part: str) -> Path:
    """The folder of a trained part, which has a `<part>.json`.

    Args:
        folder: The part's own (`runs/sample/retriever`), or that of a run that holds it (`runs/sample`).
        part: Such as `retriever`.

    Raises:
        ModelError: It is in neither place.
    """
    folder = Path(folder)
    for place in (folder, folder / part):
        if (place / f"{part}.json").is_file():
            return place
    raise ModelError(
        f"there is no trained {part} here",
        where=folder,
        expected=f"a folder with {part}.json, or a run with a finished {part}",
        found="an empty folder or another part" if folder.is_dir() else "no such folder",
        remedy=RunStage(part),
    )
