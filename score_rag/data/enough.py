"""Whether a table can be learned from at all: what every later stage needs, seen before any of them has run for minutes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from score_rag.data.interactions import QUESTIONS, Interactions
from score_rag.data.report import DataReport
from score_rag.data.settings import DataSettings
from score_rag.errors import ChangeSetting, DataError

__all__ = ["find_lacks", "require_enough"]

_HISTORY = 3
"""Questions are asked of users with so many earlier judgements."""
_QUESTIONS = {"train": 20, "valid": 10}
_USERS = 3
_MANY = 1_000_000
_NO_HISTORY = 0.8
"""A share of events without any earlier one of their user from which on a warning tells why."""


def find_lacks(interactions: Interactions, report: DataReport, settings: DataSettings) -> None:
    """Note in the report what later stages need and this table lacks, with the settings that would help; and warn of times that say little.

    The report's ratings must be those of the events.
    """
    _labels(interactions, report, settings)
    users = interactions.learned["user_id"].n_unique()
    if users < _USERS:
        report.lack(f"training events of {users} users; at least {_USERS} are needed", _larger(interactions, settings))
    judged = interactions.events.filter(~pl.col("sampled"))
    rows = _of_some_users(judged)
    earlier, by_file = (_earlier(rows, ties) for ties in (interactions.ties, "file-order"))
    few = _too_few(rows, earlier)
    if few and len(rows) < len(judged):
        rows = judged
        earlier, by_file = (_earlier(rows, ties) for ties in (interactions.ties, "file-order"))
        few = _too_few(rows, earlier)
    alone, tied = int((earlier == 0).sum()), int((by_file > earlier).sum())
    if few:
        told = "; ".join(f"{name}: {count:,} of at least {_QUESTIONS[name]}" for name, count in few.items())
        helped = tied > 0 and not _too_few(rows, by_file)
        why = "because most events of a user share one second (times that are days do)" if helped else f"of {len(judged):,} events in all"
        remedy = {"data.ties": "file-order"} if helped else _larger(interactions, settings)
        report.lack(f"too few events whose user had {_HISTORY} earlier ones ({told}), {why}", remedy)
    elif tied and alone >= _NO_HISTORY * len(rows):
        report.warn(
            f"{alone / len(rows):.0%} of events have no earlier one of their user, whose events share one second (days do so): "
            "data.ties: file-order lets the file's order decide"
        )


def _too_few(rows: pl.DataFrame, earlier: pl.Series) -> dict[str, int]:
    """Splits that have too few questions, with how many they have."""
    asked = rows["split"].filter(earlier >= _HISTORY).cast(pl.String())
    counts = {name: int((asked == name).sum()) for name in _QUESTIONS}
    return {name: count for name, count in counts.items() if count < _QUESTIONS[name]}


def _of_some_users(judged: pl.DataFrame) -> pl.DataFrame:
    """The events of so many users that shares can be told from them."""
    parts = len(judged) // _MANY
    return judged if parts < 2 else judged.filter(pl.col("user_id").to_physical() % parts == 0)


def require_enough(report: Mapping[str, Any], where: object) -> None:
    """A report (as `report.json` has it) must lack nothing that later stages need.

    Raises:
        DataError: Says what it lacks, and which settings would help.
    """
    lacks = report.get("lacks") or []
    if lacks:
        remedy = {name: value for lack in lacks for name, value in lack["remedy"].items()}
        raise DataError(
            "this data cannot be learned from",
            where=where,
            expected=f"likes and dislikes, and events of users with {_HISTORY} earlier ones: {json.dumps(_QUESTIONS)[1:-1]}".replace(
                '"', ""
            ),
            found="; ".join(lack["what"] for lack in lacks),
            hint="look at what the files hold" if not remedy else None,
            remedy=ChangeSetting(remedy) if remedy else None,
        )


def _labels(interactions: Interactions, report: DataReport, settings: DataSettings) -> None:
    """Every split of questions that are learned from and chosen by needs both answers."""
    shares = dict(interactions.events.group_by(pl.col("split").cast(pl.String())).agg(pl.col("label").mean()).iter_rows())
    for name in QUESTIONS[:2]:
        share = shares.get(name)
        if share is None or 0 < share < 1:
            continue
        what = f"every {name} event is a {'like' if share else 'dislike'}"
        whole = float(interactions.events["label"].mean() or 0.0)  # type: ignore[arg-type]
        low, middle, high = report.ratings or (0.0, 0.0, 0.0)
        # Where only this split has one answer, another threshold helps if it parts the ratings more evenly, and else more events.
        uneven = not (settings.k_core or settings.max_users) and (
            middle < settings.threshold if share == 0 else middle > settings.threshold
        )
        if report.ratings is None or (0 < whole < 1 and not uneven):
            report.lack(what, _larger(interactions, settings))
            continue
        if low == high:
            report.lack(f"{what}: every rating is {low:g}, so ratings say nothing (leave them out, and set data.negatives: 1)")
            continue
        better = middle if middle > low else high
        told = f"{what}: ratings are {low:g} to {high:g}, half of them {middle:g} or less, and data.threshold is {settings.threshold:g}"
        report.lack(told, {"data.threshold": better} if better != settings.threshold else {})


def _earlier(judged: pl.DataFrame, ties: str) -> pl.Series:
    """How many earlier events each event's user had; events are sorted by time."""
    place = pl.int_range(pl.len()).over("user_id")
    if ties == "file-order":
        return judged.select(place).to_series()
    return (
        judged.select(place.alias("place"), "user_id", "timestamp").select(pl.col("place").min().over("user_id", "timestamp")).to_series()
    )


def _larger(interactions: Interactions, settings: DataSettings) -> dict[str, Any]:
    """Settings that leave events out, and would leave out fewer."""
    if settings.k_core or settings.max_users:
        return {name: None for name, value in (("data.k_core", settings.k_core), ("data.max_users", settings.max_users)) if value}
    splits = interactions.events["split"]
    return {"data.valid": 0.2, "data.train": 0.6} if settings.split == "quantiles" and int((splits == "train").sum()) > 200 else {}
