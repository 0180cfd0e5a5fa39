"""The rows that need no learning (METHOD, section 2): what any learned system has to beat. Smoothed by five counts of the mean."""

from __future__ import annotations

import numpy as np
import polars as pl

from score_rag.data.interactions import Interactions, event_rows

__all__ = ["ITEM_AVERAGE", "trivial_scores"]

ITEM_AVERAGE = "item's like-rate in train"
_COUNTS = 5.0


def trivial_scores(interactions: Interactions, rows: pl.DataFrame) -> dict[str, np.ndarray]:
    """Scores of events by averages and popularity.

    Args:
        interactions: Where the averages come from: training events; one row also reads the user's own strictly earlier labels.
        rows: Rows of the events frame.

    Returns:
        Name to float64 [rows].
    """
    train = interactions.events.filter(pl.col("split") == "train")
    mean = float(train["label"].mean() or 0.0)  # type: ignore[arg-type]  # a mean of int8 is a float
    items = _rates(train, "item_id", mean)
    users = _rates(train, "user_id", mean)
    item = np.array([items.get(item_id, mean) for item_id in rows["item_id"]])
    user = np.array([users.get(user_id, mean) for user_id in rows["user_id"]])
    log = interactions.log
    earlier = np.empty(len(rows))
    for place, asked in enumerate(event_rows(rows)):
        told = log.earlier(asked)
        earlier[place] = (sum(event.liked for event in told) + _COUNTS * mean) / (len(told) + _COUNTS)
    count = dict(train.filter(~pl.col("sampled")).group_by("item_id").len().iter_rows())
    return {
        ITEM_AVERAGE: item,
        "+ user's like-rate in train": item + user,
        "+ user's like-rate so far": item + earlier,
        "popularity": np.array([float(count.get(item_id, 0)) for item_id in rows["item_id"]]),
    }


def _rates(train: pl.DataFrame, by: str, mean: float) -> dict[str, float]:
    counted = train.group_by(by).agg(liked=pl.col("label").cast(pl.Int64).sum(), judged=pl.len())
    return {key: (liked + _COUNTS * mean) / (judged + _COUNTS) for key, liked, judged in counted.iter_rows()}
