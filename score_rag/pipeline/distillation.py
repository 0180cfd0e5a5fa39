"""What the bundled Llama aims at in training: a mixture of the answers and of what the recommenders expected (arXiv 1503.02531)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import polars as pl

from score_rag.crm.expectations import EXPECTATION_COLUMNS, Expected
from score_rag.data.log import Event
from score_rag.predictor.calibration import fit_logistic

__all__ = ["distilled_targets"]


def distilled_targets(
    expectations: pl.DataFrame, experts: Collection[str], events: Sequence[Event], weight: float
) -> dict[Event, float] | None:
    """P(Yes) by event: `(1 - weight) * answer + weight * teacher`.

    Answers are noisy, and a small model has few of them; an expectation has none of that noise. The teacher is a logistic regression of
    the answers on the recommenders' expectations. Every expectation is of a recommender that had seen earlier events only (see
    `crm.expectations`), so the teacher trusts each as far as it is to be trusted. Where nothing is expected, the answer is the aim.

    Args:
        expectations: As of `expectations_frame`.
        experts: The recommenders that teach; those that the frame does not have are passed over.
        events: Training events.
        weight: Of the teacher, 0 to 1.

    Returns:
        None where nothing is expected of any event or the weight is 0.
    """
    names = [name for name in expectations.columns[len(EXPECTATION_COLUMNS) :] if name in experts]
    if not weight or not names:
        return None
    frame = expectations.drop_nulls(names)
    found = Expected(frame, names).rows([(event.user_id, event.item_id, event.timestamp) for event in events])
    rows = np.flatnonzero(found >= 0)
    if not len(rows):
        return None
    expected = frame.select(names).to_numpy()[found[rows]]
    scaled = (expected - expected.mean(axis=0)) / np.maximum(expected.std(axis=0), 1e-9)
    targets = np.array([float(event.liked) for event in events])
    inputs = np.column_stack([scaled, np.ones(len(rows))])
    teacher = 1 / (1 + np.exp(-inputs @ fit_logistic(inputs, targets[rows])))
    targets[rows] = (1 - weight) * targets[rows] + weight * teacher
    return dict(zip(events, targets.tolist(), strict=True))
