"""Where files of one name lie, and which of them is used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape

__all__ = ["hides", "told"]


def hides(used: Path | None, folders: Sequence[Path]) -> list[str]:
    """Files of the same name in folders that come later: the used one wins over them."""
    if used is None:
        return []
    same = [folder / used.name for folder in folders if folder.resolve() != used.parent.resolve()]
    return [str(file) for file in same if file.is_file()]


def told(hidden: Sequence[str]) -> str:
    """The end of a line that says so; empty where nothing is hidden."""
    return escape(f" (wins over {', '.join(hidden)})") if hidden else ""
