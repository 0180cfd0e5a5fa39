"""The scores and the cost of a variant, kept beside it, so that an ablation that was killed goes on where it was."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from score_rag.errors import DataError, ScoreError
from score_rag.evaluation.ablate.cost import Cost
from score_rag.files import read_json, staged_folder, write_json

__all__ = ["EXPECTED", "Result", "failure", "read_result", "write_result"]

EXPECTED = (ScoreError, OSError, MemoryError, RuntimeError, ValueError)
"""What may go wrong with one variant (a model that is not there, a prompt that cannot be changed, no memory left) and concerns no other."""


@dataclass(frozen=True)
class Result:
    """What became of a variant, or of a point of a sweep.

    Attributes:
        scores: float64 [n], P(like) of each question; None where it failed.
        cost: What it took; None where it failed.
        failed: Why; empty where it did not.
        same_as: The variant that asks the very same.
    """

    scores: np.ndarray | None
    cost: Cost | None
    failed: str = ""
    same_as: str = ""


def failure(error: BaseException) -> Result:
    """The result of what failed, with the reason."""
    if not isinstance(error, ScoreError):
        return Result(None, None, failed=f"{type(error).__name__}: {error}")
    return Result(None, None, failed=error.what + (f" (found: {error.found})" if error.found else ""))


def write_result(folder: Path, belongs: str, result: Result, frame: pl.DataFrame) -> None:
    """Keep a result that did not fail.

    Args:
        folder: Written aside, then moved into place.
        belongs: Digest of all that it depends on.
        frame: The rows that were scored.
    """
    assert result.scores is not None and result.cost is not None
    with staged_folder(folder) as aside:
        frame.with_columns(score=pl.Series(result.scores)).write_parquet(aside / "scores.parquet")
        write_json(aside / "cost.json", {"belongs": belongs, "cost": result.cost.to_dict()})


def read_result(folder: Path, belongs: str) -> Result | None:
    """The result that is kept, where it belongs to the same."""
    try:
        told: Any = read_json(folder / "cost.json")
        if told["belongs"] != belongs:
            return None
        scores = pl.read_parquet(folder / "scores.parquet")["score"].to_numpy()
        return Result(scores, Cost(**told["cost"]))
    except (DataError, OSError, KeyError, TypeError):
        return None
