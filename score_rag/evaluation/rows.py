"""Which held-out events are scored: whole users, so that a per-user AUC stays one."""

from __future__ import annotations

import numpy as np
import polars as pl

from score_rag.data.describe import warm_mask
from score_rag.data.interactions import Interactions
from score_rag.data.split import require_questions
from score_rag.errors import DataError

__all__ = ["choose_rows", "warm_and_cold"]


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


def warm_and_cold(interactions: Interactions, frame: pl.DataFrame) -> dict[str, np.ndarray]:
    """Which rows are warm (METHOD: user and item both have at least three training events), and which are not."""
    warm = warm_mask(interactions, frame)
    return {} if warm.all() else {"warm (both with 3 training events)": warm, "cold (user or item with fewer)": ~warm}
