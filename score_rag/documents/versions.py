"""Documents in versions.

A user has several documents, one for each few more events. At any moment exactly one of them is visible, the newest that tells only
of earlier events; so one index serves training (where every example has its own "now") and serving (where now is now).
"""

from __future__ import annotations

from typing import Any

import polars as pl

from score_rag.data.log import UserLog
from score_rag.documents.describer import Describer
from score_rag.documents.settings import DocumentSettings
from score_rag.progress import Report, silent

__all__ = ["DOCUMENT_COLUMNS", "FOREVER", "build_documents"]

_DEFAULTS = DocumentSettings()

FOREVER = 2**53 - 1
"""`superseded_at` of a user's newest document: the largest integer that JSON and Chroma keep exactly."""

DOCUMENT_COLUMNS = {
    "document_id": pl.String(),
    "user_id": pl.String(),
    "text": pl.String(),
    "events": pl.Int64(),
    "known_until": pl.Int64(),
    "superseded_at": pl.Int64(),
}


def build_documents(
    log: UserLog,
    describer: Describer,
    settings: DocumentSettings = _DEFAULTS,
    *,
    last_second: int | None = None,
    report: Report = silent,
    **changes: Any,
) -> pl.DataFrame:
    """Documents of every user, in versions.

    Args:
        log: The events that may be told (training events).
        describer: Says them.
        settings: A version is written each time `every` more events are known; the first, after a quarter of that. From `sparser_after`
            times `every` events on, one is written only when the history has grown by that share (of 6: 1/6). What is written when never
            depends on what follows: how stale a document is must not tell how much its user went on to do.
        last_second: When what is known ends; by default with the log. It is later where the last thing asked about is a sampled negative,
            which is in no log. Whether anything follows a user's last events is known only then.
        report: Told how far the work is.
        changes: Single settings, in place of those given.

    Returns:
        A frame with `DOCUMENT_COLUMNS`. A document is visible at `as_of` iff `known_until < as_of <= superseded_at`.
    """
    settings = settings.changed(**changes)
    every, sparser_after = settings.every, settings.sparser_after
    rows = []
    columns = log.columns
    last_second = max(int(columns.time[columns.ends[columns.ends > columns.starts] - 1].max(initial=0)), last_second or 0)
    for done, user_id in enumerate(log.users, start=1):
        events = log.of(user_id)
        # A version may not end inside a second: its other events would become known a version later, yet are as old.
        ends = [end for end in range(1, len(events) + 1) if end == len(events) or events[end].timestamp > events[end - 1].timestamp]
        told: list[tuple[int, int]] = []
        last = 0
        for end in ends:
            if end - last >= max(every if last else (every + 3) // 4, last // sparser_after):
                told.append((end, events[end - 1].timestamp))
                last = end
        if last < len(events):
            # That nothing follows is known only when the log ends; until then the version before stands.
            told.append((len(events), last_second))
        for version, (end, known_until) in enumerate(told):
            rows.append(
                {
                    "document_id": f"{user_id}@{version}",
                    "user_id": user_id,
                    "text": describer.describe(events[:end]),
                    "events": end,
                    "known_until": known_until,
                    "superseded_at": told[version + 1][1] if version + 1 < len(told) else FOREVER,
                }
            )
        if done % 200 == 0 or done == len(log):
            report("telling behaviour", done, len(log))
    return pl.DataFrame(rows, schema=DOCUMENT_COLUMNS)
