"""Which events are learnt from, chosen by, and judged on."""

from __future__ import annotations

from typing import Literal

import polars as pl

from score_rag.data.interactions import SPLITS, Interactions
from score_rag.errors import DataError, InputError, did_you_mean

__all__ = ["SPLIT_KINDS", "SplitKind", "split_events"]

SplitKind = Literal["quantiles", "column"]
SPLIT_KINDS = ("quantiles", "column")


def split_events(interactions: Interactions, how: str, *, train: float = 0.8, valid: float = 0.1) -> Interactions:
    """The same events with their split set.

    Args:
        how: `quantiles` cuts the global time line so that about a share `train` of events comes first, then `valid`, the rest is test
            (a second never lies in two splits, so shares are met as nearly as ties allow); `column` keeps what the source said.
        train: Share of training events, above 0.
        valid: Share of validation events, above 0; `train + valid` at most 1.

    Raises:
        InputError: An unknown `how`, or shares that make no sense.
        DataError: With `column`, the source gave no split, or an unknown one.

    >>> from score_rag.testing import toy_world
    >>> split_events(toy_world(), "quantiles", train=0.5, valid=0.25).events["split"].unique(maintain_order=True).to_list()
    ['train', 'valid', 'test']
    """
    events = interactions.events
    if how == "column":
        strangers = events.filter(~pl.col("split").is_in(SPLITS))["split"].unique().to_list()
        if strangers:
            raise DataError("the split column has unknown values", expected=", ".join(SPLITS), found=", ".join(map(str, strangers[:5])))
        return interactions
    if how != "quantiles":
        raise InputError(f"there is no split {how!r}", hint=did_you_mean(how, SPLIT_KINDS))
    if not (0 < train < 1 and valid > 0 and train + valid <= 1):
        raise InputError(
            "the shares of the splits make no sense", expected="train > 0, valid > 0, train + valid <= 1", found=f"{train}, {valid}"
        )
    if not len(events):
        raise DataError("there are no events to split")
    times = events["timestamp"]
    bounds = [times[min(len(times) - 1, round(len(times) * share))] for share in (train, train + valid)]
    first, second = bounds[0], bounds[1] if train + valid < 1 else int(times[-1]) + 1
    split = (
        pl.when(pl.col("timestamp") < first)
        .then(pl.lit("train"))
        .when(pl.col("timestamp") < second)
        .then(pl.lit("valid"))
        .otherwise(pl.lit("test"))
    )
    return Interactions(events.with_columns(split=split), interactions.items)
