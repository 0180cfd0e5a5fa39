"""From what a source says to the one table: labels, repeated rows, k-core, order, split, negatives, each step counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from score_rag.data.catalogue import complete_items, require_known, without_strangers
from score_rag.data.choices import Sampling
from score_rag.data.enough import find_lacks
from score_rag.data.interactions import SPLITS, Clock, Interactions
from score_rag.data.negatives import add_negatives
from score_rag.data.report import DataReport
from score_rag.data.settings import DataSettings
from score_rag.data.split import split_events
from score_rag.errors import ChangeSetting, DataError, InputError

__all__ = ["core", "prepare"]

_DEFAULTS = DataSettings()


def prepare(
    events: pl.DataFrame,
    items: pl.DataFrame,
    settings: DataSettings = _DEFAULTS,
    *,
    report: DataReport,
    seed: int = 0,
    **changes: Any,
) -> Interactions:
    """The table that every room reads.

    Args:
        events: `user_id`, `item_id` (categorical); `label` or `rating` (neither: rows are implicit positives); `timestamp` in seconds
            (without it the rows of a user are in order); `split` with `split="column"`.
        items: Tidied catalogue.
        settings: Threshold, k-core, split, ties, negatives, ...; where the data comes from is not read here. `max_users` draws among all
            users, and `k_core` counts events of all splits, background among them (and what the split then drops).
        report: Takes every drop and decision, and is settled here.
        seed: Of all random sampling.
        changes: Single settings, in place of those given.

    Raises:
        InputError: Settings that do not fit the data.
        DataError: Nothing is left, or every label is the same.
    """
    settings = settings.changed(**changes)
    if not len(events):
        raise DataError("there are no events", where=report.source, expected="at least one row", found="a header alone")
    clock: Clock = "seconds" if "timestamp" in events.columns else "order"
    if clock == "order":
        position = pl.int_range(pl.len(), dtype=pl.Int64).over("user_id") + 1
        events = events.with_columns(timestamp=position)
        report.warn("this source has no timestamps, only an order within each user: across users, a lower position counts as earlier")
    implicit = "label" not in events.columns and "rating" not in events.columns
    if "rating" in events.columns and "label" not in events.columns:
        rated = events["rating"]
        report.ratings = tuple(float(value) for value in (rated.min(), rated.quantile(0.5, "higher"), rated.max()))  # type: ignore[arg-type, assignment]
    events = _labelled(events, settings.threshold, implicit)
    events = _without_repeats(events, report)
    if settings.unknown_items == "drop":
        require_known(events, items, where=report.source)
        events = without_strangers(events, items, report)
    if settings.max_users is not None:
        events = _some_users(events, settings.max_users, seed, report)
    if settings.k_core:
        events = core(events, settings.k_core, report=report)
    if not events["timestamp"].is_sorted():
        events = events.sort("timestamp", maintain_order=True)
    if len(events):
        events = split_events(events, settings, report=report, ordered_only=clock == "order")
    if not len(events):
        raise DataError("no event is left", where=report.source, found="; ".join(report.lines()), hint="look at the k-core and the split")
    if clock == "order":
        events = _in_order_of_splits(events)
    items = complete_items(events, items, report, where=report.source)
    events = _with_negatives(events, items, implicit, settings.negatives, settings.negative_sampling, seed, report)
    if settings.ties == "file-order":
        report.warn("ties: file-order, so a user's own events of the same second may reach a history (published protocols do so)")
    interactions = Interactions(events, items, ties=settings.ties, clock=clock)
    report.settle(interactions)
    find_lacks(interactions, report, settings)
    return interactions


def core(events: pl.DataFrame, k: int, *, report: DataReport) -> pl.DataFrame:
    """The k-core: users and items with fewer than `k` events are left out, again and again, until none has.

    >>> frame = pl.DataFrame({"user_id": ["a", "a", "b", "b", "c"], "item_id": ["x", "y", "x", "y", "x"]}).cast(pl.Categorical())
    >>> core(frame, 2, report=DataReport("doctest"))["user_id"].to_list()
    ['a', 'a', 'b', 'b']
    """
    users, items = (events[name].to_physical().to_numpy() for name in ("user_id", "item_id"))
    kept: np.ndarray | None = None
    while len(users):
        often = [np.bincount(codes) for codes in (users, items)]
        if all((times[times > 0] >= k).all() for times in often):
            break
        enough = (often[0][users] >= k) & (often[1][items] >= k)
        kept = np.flatnonzero(enough) if kept is None else kept[enough]
        users, items = users[enough], items[enough]
    if kept is None:
        return events
    report.drop(f"of users or items with fewer than {k} events (k-core)", len(events) - len(kept))
    return events[kept]


def _labelled(events: pl.DataFrame, threshold: float, implicit: bool) -> pl.DataFrame:
    if implicit:
        return events.with_columns(label=pl.lit(1, dtype=pl.Int8))
    label = pl.col("label") if "label" in events.columns else pl.col("rating") >= threshold
    return events.with_columns(label=label.cast(pl.Int8)).drop("rating", strict=False)


def _without_repeats(events: pl.DataFrame, report: DataReport) -> pl.DataFrame:
    """One row a user, item and second; pairs judged at several times stay, counted."""
    pairs = events.select((pl.col("user_id").to_physical().cast(pl.UInt64) * 2**32) + pl.col("item_id").to_physical()).to_series()
    if pairs.n_unique() == len(pairs):
        return events
    # Only the few rows of pairs that occur again are looked at more closely.
    ranked = pairs.sort()
    again = ranked.filter(ranked == ranked.shift(1)).unique()
    rows = pairs.is_in(again.implode()).arg_true()
    some = events[rows].select("user_id", "item_id", "timestamp", "label").with_columns(row=rows)
    last = some.group_by("user_id", "item_id", "timestamp").agg(pl.col("row").max(), labels=pl.col("label").n_unique(), times=pl.len())
    report.drop("repeated: same user, item and time", int((last["times"] - 1).sum()))
    report.decide("times a user gave an item both labels in one second, the last row is used", int((last["labels"] > 1).sum()))
    several = last.group_by("user_id", "item_id").len().filter(pl.col("len") > 1)
    report.decide("pairs of user and item judged at several times, all kept", len(several))
    lost = np.setdiff1d(rows.to_numpy(), last["row"].to_numpy())
    return events if not len(lost) else events[np.setdiff1d(np.arange(len(events)), lost)]


def _some_users(events: pl.DataFrame, most: int, seed: int, report: DataReport) -> pl.DataFrame:
    users = events["user_id"].unique(maintain_order=True)
    if len(users) <= most:
        return events
    chosen = users.gather(np.sort(np.random.default_rng(seed).choice(len(users), most, replace=False)))
    kept = events.filter(pl.col("user_id").is_in(chosen.implode()))
    report.drop(f"of users beyond data.max_users = {most:,}", len(events) - len(kept))
    return kept


def _in_order_of_splits(events: pl.DataFrame) -> pl.DataFrame:
    """Places instead of times: all of the background comes before all of train, that before all of valid, and that before all of test."""
    longest = int(events["timestamp"].max() or 0)  # type: ignore[arg-type]  # whole numbers
    there = [name for name in SPLITS if name != "background" or (events["split"] == name).any()]
    later = pl.col("split").cast(pl.String()).replace_strict({name: number * longest for number, name in enumerate(there)})
    return events.with_columns(timestamp=pl.col("timestamp") + later).sort("timestamp", maintain_order=True)


def _with_negatives(
    events: pl.DataFrame, items: pl.DataFrame, implicit: bool, count: int, sampling: Sampling, seed: int, report: DataReport
) -> pl.DataFrame:
    if implicit and count:
        report.warn(
            f"sampled negatives, for implicit feedback: {count} for each positive ({sampling}), none an item that its user has "
            "at any time, and every number rests on them"
        )
        return add_negatives(events, items["item_id"], count=count, sampling=sampling, seed=seed)
    if implicit:
        raise InputError(
            "implicit feedback has no negatives: there is nothing to learn",
            where=report.source,
            expected="a column label or rating, or sampled negatives (data.negatives)",
            remedy=ChangeSetting({"data.negatives": 1}),
        )
    if count:
        raise InputError("negatives are sampled for implicit feedback only", where="data.negatives", expected=0, found=count)
    users = events["user_id"].to_physical().to_numpy()
    judged = np.bincount(users)
    liked = np.bincount(users, weights=events["label"].to_numpy())
    same = (judged > 0) & ((liked == 0) | (liked == judged))
    report.decide("users whose labels are all the same, kept (they have no AUC of their own)", int(same.sum()))
    return events
