"""What conventional recommenders expect of training events, each asked only about what came after everything it was fitted on.

A recommender that has seen an event remembers its answer: told to a language model in training, it would teach the model to trust what is
not so sure of events to come. So time is cut into blocks; for each block from the second on, the recommender is fitted on the blocks before
it (prequential; their last part chooses the epoch) and asked about the block. Events of the first block have no expectation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from score_rag.crm.interface import CollaborativeModel
from score_rag.data.interactions import Interactions, event_rows
from score_rag.progress import Report, silent

__all__ = ["EXPECTATION_COLUMNS", "block_ends", "expectations_frame", "prequential_scores"]

EXPECTATION_COLUMNS = ("user_id", "item_id", "timestamp")
"""What names an event in `expectations.parquet`; one further column for each recommender."""

_CHOOSING = 0.15
"""Share of the earlier blocks, their last part, that chooses the epoch."""
_BATCH = 1024


def block_ends(times: np.ndarray, shares: Sequence[float]) -> list[int]:
    """Where blocks end, as numbers of events; no second is cut in two.

    Args:
        times: [n], ascending.
        shares: Ascending shares of the events, the last being 1.

    >>> block_ends(np.array([1, 1, 2, 3, 3, 3, 4, 5]), (0.3, 0.6, 1.0))
    [2, 3, 8]
    """
    inner = [int(np.searchsorted(times, times[int(share * len(times))], side="left")) for share in shares[:-1]]
    return sorted({end for end in (*inner, len(times)) if end})


def prequential_scores(
    interactions: Interactions,
    fit: Callable[[Interactions], CollaborativeModel],
    *,
    shares: Sequence[float] = (0.3, 0.5, 0.7, 0.85, 1.0),
    report: Report = silent,
    doing: str = "asking earlier recommenders",
) -> np.ndarray:
    """float64 [learned events]: each scored by a recommender of earlier blocks; nan in the first block and for background.

    Args:
        interactions: Only training events (background among them) are used.
        fit: Fits a recommender on the `train` rows of what it is given; `valid` rows choose.
        shares: Where blocks end.
    """
    frame = interactions.learned
    out = np.full(len(frame), np.nan)
    for done, (start, end) in enumerate(blocks := _blocks(frame, shares), start=1):
        earlier = frame[:start]
        chosen_from = int(len(earlier) * (1 - _CHOOSING))
        split = ["train"] * chosen_from + ["valid"] * (len(earlier) - chosen_from)
        model = fit(interactions.with_events(earlier.with_columns(split=pl.Series(split))))
        # Histories of the block's own events are strictly earlier, and may lie within the block.
        model.bind(interactions.train_log)
        for first in range(start, end, _BATCH):
            part = list(event_rows(frame[first : min(first + _BATCH, end)]))
            out[first : first + len(part)] = model.score_events(part)
        report(doing, done, len(blocks))
    return out


def _blocks(frame: pl.DataFrame, shares: Sequence[float]) -> list[tuple[int, int]]:
    """(first row, row behind the last) of each block that is asked about: of training events, all but a first one that nothing precedes."""
    if not len(frame):
        return []
    before = int((frame["split"] == "background").sum())
    ends = [before + end for end in block_ends(frame["timestamp"].to_numpy()[before:], shares)]
    return list(pairwise([before, *ends] if before else ends))


def expectations_frame(interactions: Interactions, scores: Mapping[str, np.ndarray]) -> pl.DataFrame:
    """Scores of training events by recommender, with what names the event; one row for each distinct (user, item, second)."""
    names = interactions.learned.select(pl.col("user_id", "item_id").cast(pl.String()), "timestamp")
    columns: dict[str, Any] = {name: pl.Series(values, dtype=pl.Float64()).fill_nan(None) for name, values in scores.items()}
    return names.with_columns(**columns).unique(subset=EXPECTATION_COLUMNS, keep="last", maintain_order=True)
