"""What conventional recommenders expect of training events, each asked only about what came after everything it was fitted on.

A recommender that has seen an event remembers its answer: told to a language model in training, it would teach the model to trust what is
not so sure of events to come. So time is cut into blocks; for each block from the second on, the recommender is fitted on the blocks before
it (prequential; their last part chooses the epoch) and asked about the block. Events of the first block have no expectation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from score_rag.crm.interface import CollaborativeModel
from score_rag.data.ids import Ids, numbered
from score_rag.data.interactions import Interactions, event_rows
from score_rag.progress import Report, silent

__all__ = ["EXPECTATION_COLUMNS", "Expected", "block_ends", "drawn_events", "expectations_frame", "prequential_scores"]

_SHARES = (0.3, 0.5, 0.7, 0.85, 1.0)

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
    shares: Sequence[float] = _SHARES,
    drawn: np.ndarray | None = None,
    report: Report = silent,
    doing: str = "asking earlier recommenders",
) -> np.ndarray:
    """float64 [learned events]: each scored by a recommender of earlier blocks; nan in the first block and for background.

    Args:
        interactions: Only training events (background among them) are used.
        fit: Fits a recommender on the `train` rows of what it is given; `valid` rows choose.
        shares: Where blocks end.
        drawn: Rows that are asked about, ascending (see `drawn_events`); without, all. The others are nan.
    """
    frame = interactions.learned
    out = np.full(len(frame), np.nan)
    blocks = _blocks(frame, shares)
    total = sum(end - start for start, end in blocks) if drawn is None else len(drawn)
    done = 0
    for start, end in blocks:
        place = pl.int_range(pl.len())
        split = pl.when(place < int(start * (1 - _CHOOSING))).then(pl.lit("train")).otherwise(pl.lit("valid"))
        model = fit(interactions.with_events(frame[:start].with_columns(split=split)))
        # Histories of the block's own events are strictly earlier, and may lie within the block.
        model.bind(interactions.train_log)
        rows = np.arange(start, end) if drawn is None else drawn[np.searchsorted(drawn, start) : np.searchsorted(drawn, end)]
        for first in range(0, len(rows), _BATCH):
            part = rows[first : first + _BATCH]
            out[part] = model.score_events(list(event_rows(frame[part])))
            done += len(part)
            report(doing, done, total)
    return out


def drawn_events(interactions: Interactions, most: int | None, *, seed: int) -> np.ndarray | None:
    """int64 [most]: rows of `learned` that `prequential_scores` is to ask about, ascending; None where all are few enough.

    Args:
        most: How many; None is all.
        seed: Of the uniform draw among what can be asked about.
    """
    if most is None:
        return None
    blocks = _blocks(interactions.learned, _SHARES)
    rows = np.concatenate([np.arange(start, end) for start, end in blocks] or [np.zeros(0, dtype=np.int64)])
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False)) if len(rows) > most else None


def _blocks(frame: pl.DataFrame, shares: Sequence[float]) -> list[tuple[int, int]]:
    """(first row, row behind the last) of each block that is asked about: of training events, all but a first one that nothing precedes."""
    if not len(frame):
        return []
    before = int((frame["split"] == "background").sum())
    ends = [before + end for end in block_ends(frame["timestamp"].to_numpy()[before:], shares)]
    return list(pairwise([before, *ends] if before else ends))


def expectations_frame(interactions: Interactions, scores: Mapping[str, np.ndarray], *, drawn: np.ndarray | None = None) -> pl.DataFrame:
    """Scores of training events by recommender, with what names the event; one row for each distinct (user, item, second).

    Args:
        scores: By recommender, as of `prequential_scores`.
        drawn: The rows that were asked about; without, the frame has all.
    """
    rows = slice(None) if drawn is None else drawn
    names = interactions.learned[rows].select(pl.col("user_id", "item_id").cast(pl.String()), "timestamp")
    columns: dict[str, Any] = {name: pl.Series(values[rows], dtype=pl.Float64()).fill_nan(None) for name, values in scores.items()}
    return names.with_columns(**columns).unique(subset=EXPECTATION_COLUMNS, keep="last", maintain_order=True)


class Expected:
    """What was expected of training events, found by user, item and second; 24 bytes an event, and 8 for each recommender.

    Args:
        frame: As of `expectations_frame`.
        names: Recommenders that are looked up.
    """

    def __init__(self, frame: pl.DataFrame, names: Iterable[str]) -> None:
        users, user_names = numbered(frame["user_id"])
        items, item_names = numbered(frame["item_id"])
        self._users, self._items = Ids(user_names), Ids(item_names)
        times, pairs = frame["timestamp"].to_numpy(), users.astype(np.int64) * len(item_names) + items
        self._order = np.lexsort((times, pairs))
        self._pairs, self._times = pairs[self._order], times[self._order]
        self._scores = {name: frame[name].cast(pl.Float64()).fill_null(float("nan")).to_numpy() for name in names}

    def scores(self, name: str) -> np.ndarray:
        """float64 [rows]: a recommender's, in the order of the frame; nan is unknown."""
        return self._scores[name]

    def rows(self, keys: Sequence[tuple[str, str, int] | None]) -> np.ndarray:
        """int64 [n]: rows of the frame for (user, item, second); -1 where it has none."""
        out = np.full(len(keys), -1, dtype=np.int64)
        places = [place for place, key in enumerate(keys) if key is not None]
        found = [(self._users.find(user), self._items.find(item), second) for user, item, second in (keys[place] for place in places)]  # type: ignore[misc]
        users, items, seconds = np.array(found, dtype=np.int64).reshape(-1, 3).T
        pairs = np.where((users < 0) | (items < 0), -1, users * len(self._items) + items)
        at, ends = np.searchsorted(self._pairs, pairs, side="left"), np.searchsorted(self._pairs, pairs, side="right")
        # A pair has few seconds; they ascend.
        while len(late := np.flatnonzero(at < ends)) and len(late := late[self._times[at[late]] < seconds[late]]):
            at[late] += 1
        hit = np.flatnonzero(at < ends)
        hit = hit[self._times[at[hit]] == seconds[hit]]
        out[np.array(places, dtype=np.int64)[hit]] = self._order[at[hit]]
        return out
