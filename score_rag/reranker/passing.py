"""A reranker without its model: an error, or nodes that pass through unranked, flagged and warned of."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Literal, TypeVar

from score_rag.errors import ScoreError

__all__ = ["IfMissing", "open_or_pass"]

IfMissing = Literal["raise", "pass"]
"""What to do without a model: raise the error that says what is wrong with it, or warn and pass through."""

T = TypeVar("T")


def open_or_pass(read: Callable[[], T], if_missing: IfMissing) -> T | None:
    """What is read; None, after a warning, where that fails and may.

    Raises:
        ScoreError: It fails, and `if_missing` is `raise`. (Whatever else `read` raises comes as it is.)
    """
    try:
        return read()
    except (ScoreError, OSError, ValueError, KeyError) as error:
        if if_missing == "raise":
            raise
        told = " ".join(str(error).split())
        warnings.warn(f"the reranker's model cannot be opened, so nothing is reranked: {told}", RuntimeWarning, stacklevel=4)
        return None
