"""Which held-out events are scored: whole users, so that a per-user AUC stays one."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl

from score_rag.data.describe import training_counts
from score_rag.data.interactions import Interactions
from score_rag.data.split import require_questions
from score_rag.errors import DataError

__all__ = ["choose_rows", "parts_of", "training_events"]

_WARM = 3


def choose_rows(interactions: Interactions, split: str, most: int | None, *, seed: int) -> pl.DataFrame:
    """Events of a split, as whole users in a seeded order until `most` rows are reached (all of them where it is None).

    Raises:
        InputError: No such split, or background, whose events are no questions.
        DataError: The split is empty.
    """
    require_questions(split)
    rows = interactions.events.filter(pl.col("split") == split)
    if not len(rows):
        raise DataError(f"the {split} split is empty", hint="choose another: --split valid")
    if most is None or len(rows) <= most:
        return rows
    users = rows["user_id"].unique(maintain_order=True)
    order = users.gather(np.random.default_rng(seed).permutation(len(users)))
    count = rows.group_by("user_id").len()
    running = pl.DataFrame({"user_id": order}).join(count, on="user_id", how="left", maintain_order="left")
    kept = running.filter(pl.col("len").cum_sum() <= most)["user_id"]
    # The first user alone may be more than asked for; a table without rows would say nothing.
    kept = kept if len(kept) else order.head(1)
    return rows.filter(pl.col("user_id").is_in(kept.implode()))


def training_events(interactions: Interactions, frame: pl.DataFrame) -> dict[str, np.ndarray]:
    """Training events of each row's user and item: `user_events` and `item_events`, int64 [rows]."""
    return {f"{name}_events": training_counts(interactions, frame, f"{name}_id") for name in ("user", "item")}


def parts_of(rows: pl.DataFrame) -> dict[str, np.ndarray]:
    """Parts of the rows by name, bool [rows] each, by what is known of them (`score_rag.evaluation.predictions.FACTS`).

    Warm and cold (METHOD: user and item both have at least three training events); thirds by the user's and by the item's training
    events; with and without other users in the prompt. What does not part the rows is left out.

    >>> rows = pl.DataFrame({"user_events": [9, 9, 1, 5], "item_events": [9, 9, 9, 9]})
    >>> {name: inside.tolist() for name, inside in parts_of(rows).items()}["user with 1 to 5 training events"]
    [False, False, True, True]
    """
    out: dict[str, np.ndarray] = {}
    counts = {name: rows[f"{name}_events"].to_numpy() for name in ("user", "item") if f"{name}_events" in rows.columns}
    if len(counts) == 2:
        warm = (counts["user"] >= _WARM) & (counts["item"] >= _WARM)
        out |= {f"warm (both with {_WARM} training events)": warm, "cold (user or item with fewer)": ~warm}
    for name, count in counts.items():
        # Edges are of counts that occur: equal counts are never parted.
        edges = [0, *np.unique(np.quantile(count, [1 / 3, 2 / 3], method="lower")) + 1, int(count.max(initial=0)) + 1]
        for low, high in pairwise(edges):
            if low < high:
                here = count[(count >= low) & (count < high)]
                least, most = (int(here.min()), int(here.max())) if len(here) else (low, high)
                told = f"{least:,}" if least == most else f"{least:,} to {most:,}"
                out[f"{name} with {told} training event{'s' if told != '1' else ''}"] = (count >= low) & (count < high)
    if "neighbours" in rows.columns:
        told_others = rows["neighbours"].to_numpy() > 0
        out |= {"with other users in the prompt": told_others, "without": ~told_others}
    return {name: inside for name, inside in out.items() if inside.any() and not inside.all()}
