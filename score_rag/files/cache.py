"""Where score-rag keeps what it can make again for every run of this user."""

from __future__ import annotations

import os
from pathlib import Path

from score_rag.errors import DataError

__all__ = ["CACHE_SETTING", "cache_folder"]

CACHE_SETTING = "the environment variable XDG_CACHE_HOME says where the cache is"


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/score-rag`, or `~/.cache/score-rag`.

    Raises:
        DataError: There is no home folder, and the variable is not set.
    """
    named = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(named) if named else Path.home() / ".cache") / "score-rag"
    except RuntimeError as error:
        raise DataError("there is no home folder for the cache", hint=CACHE_SETTING) from error
