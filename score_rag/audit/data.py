"""The one table, audited: order, splits, months, histories, sampled negatives; each look-up beside what the bare rows say."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import polars as pl

from score_rag.audit.check import SHOWN, Audit, Check, compared, draw, moment
from score_rag.data.interactions import QUESTIONS, SPLITS, Interactions, event_rows
from score_rag.data.settings import DataSettings
from score_rag.progress import Report, silent

__all__ = ["audit_interactions"]


def audit_interactions(
    interactions: Interactions,
    settings: DataSettings | None = None,
    *,
    kept: Mapping[str, int] | None = None,
    sample: int = 300,
    seed: int = 0,
    report: Report = silent,
) -> Audit:
    """Audit events and histories; no run is needed.

    Args:
        settings: How the events were split; without them, splits must not overlap in time.
        kept: Judgements a split by another account, such as `DataReport.kept`.
        sample: How many histories to look at.
    """
    events = interactions.events
    splits, notes = _splits(events, settings)
    checks = [_order(events), splits, _counts(interactions, kept)]
    if settings is not None and settings.split == "months":
        checks.append(_months(events, settings))
    checks.append(_histories(interactions, draw(events, sample, seed)))
    if interactions.sampled:
        checks.append(_negatives(interactions))
    if interactions.ties == "file-order":
        notes.append("ties: file-order: events of the same user and second reach a history if their row is earlier, as this setting allows")
    report("auditing the data", 1, 1)
    return Audit(tuple(checks), tuple(notes))


def _order(events: pl.DataFrame) -> Check:
    """Rows are numbered as they stand, in order of time."""
    wrong = events.with_columns(before=pl.col("timestamp").shift(1), place=pl.int_range(pl.len())).filter(
        (pl.col("timestamp") < pl.col("before")) | (pl.col("event") != pl.col("place"))
    )
    told = (
        f"row {row['event']} at position {row['place']}: {row['timestamp']} after {row['before']}" for row in wrong.head(SHOWN).to_dicts()
    )
    return compared("order", len(events), "rows in chronological order", told, len(wrong))


def _splits(events: pl.DataFrame, settings: DataSettings | None) -> tuple[Check, list[str]]:
    """Every row of a later split is later than all of the earlier ones; with leave-last-out only within a user, and the rest is noted."""
    within = settings is not None and settings.split == "leave-last-out"
    wrong: list[pl.DataFrame] = [events.clear()]
    overlap = 0
    for place, name in enumerate(SPLITS[1:], start=1):
        known = events.filter(pl.col("split").cast(pl.String()).is_in(SPLITS[:place]))
        if not len(known):
            continue
        early = events.filter((pl.col("split") == name) & (pl.col("timestamp") <= known["timestamp"].max()))
        if within:
            overlap += len(early)
            last = known.group_by("user_id").agg(last=pl.col("timestamp").max())
            early = early.join(last, on="user_id").filter(pl.col("timestamp") < pl.col("last")).drop("last")
        wrong.append(early)
    rows = pl.concat(wrong)
    told = (
        f"{row['split']} row {row['event']} of {moment(row['timestamp'])} does not come after the earlier splits"
        for row in rows.head(SHOWN).to_dicts()
    )
    notes = (
        [f"split leave-last-out: {overlap:,} held-out rows are not later than all training rows, as this split allows"] if overlap else []
    )
    return compared("splits", len(events), "rows" + (", within each user" if within else ", no overlap in time"), told, len(rows)), notes


def _counts(interactions: Interactions, kept: Mapping[str, int] | None) -> Check:
    judged, splits = interactions.events.filter(~pl.col("sampled")), interactions.splits
    counted = judged.group_by("split").agg(pl.len(), first=pl.col("timestamp").min(), last=pl.col("timestamp").max())
    found = {row["split"]: row for row in counted.to_dicts()}
    rows = {split: int(found[split]["len"]) if split in found else 0 for split in splits}
    # A mere order within each user has no dates to tell.
    spans = {
        name: f" from {moment(row['first'])} to {moment(row['last'])}" for name, row in found.items() if interactions.clock == "seconds"
    }
    told = "; ".join(f"{split} {rows[split]:,}{spans.get(split, '')}" for split in splits)
    said = {split: kept.get(split, 0) for split in SPLITS} if kept else {}
    off = [split for split in said if said[split] != rows.get(split, 0)]
    wrong = [f"{split}: {rows.get(split, 0):,} rows, but {said[split]:,} were reported" for split in off]
    return compared("counts", len(judged), f"judgements: {told}", wrong if rows["train"] else [*wrong, "there are no training events"])


def _months(events: pl.DataFrame, settings: DataSettings) -> Check:
    """Each row's calendar month (UTC), by Python's own calendar, lies within its split's range; background lies before that of train."""
    year, month = (int(part) for part in settings.months.start.split("-"))
    wrong, count = [], 0
    # The first second of the range, and of the month after it: what lies between is inside, with no calendar in the comparison itself.
    spans = {
        split: [
            int(datetime(year + (month - 1 + index) // 12, (month - 1 + index) % 12 + 1, 1, tzinfo=UTC).timestamp())
            for index in (first, last + 1)
        ]
        for split, (first, last) in ((split, getattr(settings.months, split)) for split in QUESTIONS)
    }
    for split, (begin, end) in [*spans.items(), ("background", [0, spans["train"][0]])]:
        rows = events.filter((pl.col("split") == split) & ~pl.col("timestamp").is_between(begin, end - 1))
        count += len(rows)
        wrong += [
            f"{split} row {row} of {moment(time)} is outside {moment(begin)} to {moment(end)}"
            for row, time in rows.select("event", "timestamp").head(SHOWN).iter_rows()
        ]
    return compared("months", len(events), "rows within the calendar months (UTC) of their split", wrong, count)


def _histories(interactions: Interactions, asked: pl.DataFrame) -> Check:
    """What the log gives as a history is exactly what the bare rows say was earlier."""
    judged = interactions.events.filter(~pl.col("sampled"))
    own = judged.filter(pl.col("user_id").is_in(asked["user_id"].unique().implode()))
    rows = {key[0]: frame for key, frame in own.partition_by("user_id", as_dict=True).items()}
    wrong = []
    for event in event_rows(asked):
        mine = rows.get(event.user_id, own.clear())
        known = pl.col("timestamp") < event.timestamp
        if interactions.ties == "file-order":
            known |= (pl.col("timestamp") == event.timestamp) & (pl.col("event") < event.row)
        wanted = list(event_rows(mine.filter(known)))
        given = interactions.log.earlier(event)
        if given != wanted:
            extra = [known for known in given if known not in wanted]
            what = f"contains {extra[0].item_id} of {moment(extra[0].timestamp)}" if extra else "lacks an earlier event"
            wrong.append(f"user {event.user_id} asked at {moment(event.timestamp)}: the history {what}")
    return compared("histories", len(asked), "questions, each with exactly the earlier events of its user", wrong)


def _negatives(interactions: Interactions) -> Check:
    """No sampled negative is an item that its user has, ever; none is a like; none is in a log."""
    events = interactions.events
    drawn = events.filter(pl.col("sampled"))
    pairs = events.filter(~pl.col("sampled")).select("user_id", "item_id").unique()
    has = drawn.join(pairs, on=["user_id", "item_id"], how="semi")
    liked = drawn.filter(pl.col("label") != 0)
    wrong = [f"row {e.row}: user {e.user_id} has interacted with item {e.item_id}" for e in event_rows(has.head(SHOWN))]
    wrong += [f"row {e.row}: a sampled negative is labelled as a like" for e in event_rows(liked.head(SHOWN))]
    told = [event for user in interactions.log.users for event in interactions.log.of(user) if event.sampled]
    wrong += [f"row {event.row}: a sampled negative is in the history of user {event.user_id}" for event in told[:SHOWN]]
    return compared(
        "sampled negatives", len(drawn), "sampled negatives, none an item of its user", wrong, len(has) + len(liked) + len(told)
    )
