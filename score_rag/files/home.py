"""One rule for where things are found: in the home, which is the working directory unless `SCORE_RAG_HOME` names another folder.

`prompts/`, `pipelines/`, and all relative paths in settings (`runs`, `data.path`, folders of models) are seen from there. A path that is
typed or passed as an argument is seen from the working directory, as everywhere.
"""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

__all__ = ["HOME", "at_home", "home", "local_model", "named_file"]

HOME = "SCORE_RAG_HOME"


def home() -> Path:
    """The folder that relative paths are seen from; `Path()` is the working directory."""
    return Path(os.environ.get(HOME) or "").expanduser()


def at_home(path: Path | str) -> Path:
    """A path of a setting, seen from the home; an absolute one stays as it is."""
    return home() / Path(path).expanduser()


def local_model(name: str) -> str:
    """A model's folder in the home, or its name on the hub where there is none."""
    return str(at_home(name)) if at_home(name).is_dir() else name


def named_file(folder: Path, name: str, suffix: str) -> Path | None:
    """The file `NAME.SUFFIX` of a folder, its accents written in one sign or in two; None where there is none."""
    exact = folder / f"{name}{suffix}"
    if exact.is_file() or not folder.is_dir():
        return exact if exact.is_file() else None
    wanted = unicodedata.normalize("NFC", name + suffix)
    return next((file for file in sorted(folder.iterdir()) if unicodedata.normalize("NFC", file.name) == wanted), None)
