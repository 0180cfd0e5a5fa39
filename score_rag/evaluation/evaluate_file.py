"""The tables of a table of predictions, whichever system made it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from score_rag.evaluation.predictions import read_predictions
from score_rag.evaluation.rows import parts_of
from score_rag.evaluation.scorecard import Scorecard

__all__ = ["evaluate_file"]


def evaluate_file(
    path: Path | str,
    *,
    scorers: Sequence[str] = (),
    probabilities: Sequence[str] = (),
    reference: str | None = None,
    k: int = 10,
    resamples: int = 1000,
    seed: int = 0,
) -> Scorecard:
    """The tables of a table of predictions, whichever system made it; nothing is scored, no run is needed.

    Args:
        path: See `score_rag.evaluation.predictions`.
        scorers: Columns that are scorers; by default every column of numbers without another meaning.
        probabilities: Those that are P(like); by default those whose scores all lie between 0 and 1.
        reference: The scorer that paired tests are made against.
        k: Of NDCG@k and Recall@k over each user's rows.

    Raises:
        InputError: A column that is named is not there.
        DataError: The table is missing or cannot be scored.
    """
    found = read_predictions(path, scorers=scorers, probabilities=probabilities)
    return Scorecard.from_scores(
        found.rows,
        found.scores,
        reference=reference,
        resamples=resamples,
        seed=seed,
        title=Path(path).name,
        notes=found.notes,
        slices=parts_of(found.rows),
        probabilities=found.probabilities,
        k=k,
        reliability=next((name for name in found.scores if name in found.probabilities), None),
    )
