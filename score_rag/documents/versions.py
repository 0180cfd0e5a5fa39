"""Documents in versions.

A user has several documents, one for each few more events. At any moment exactly one of them is visible, the newest that tells only
of earlier events; so one index serves training (where every example has its own "now") and serving (where now is now).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from score_rag.data.log import Event, UserLog
from score_rag.documents.describer import Describer
from score_rag.documents.settings import DocumentSettings
from score_rag.progress import Report, silent

__all__ = ["DOCUMENT_COLUMNS", "FOREVER", "build_documents", "write_documents"]

_DEFAULTS = DocumentSettings()

FOREVER = 2**53 - 1
"""`superseded_at` of a user's newest document: the largest integer that JSON and Chroma keep exactly."""

_BLOCK = 20_000
"""Users whose documents are objects at a time: some 60,000 documents, a tenth of a gigabyte."""
_ROW_GROUP = 65_536

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
    blocks = _blocks(log, describer, settings.changed(**changes), last_second, report)
    return pl.concat([pl.DataFrame(schema=DOCUMENT_COLUMNS), *blocks])


def write_documents(
    file: Path,
    log: UserLog,
    describer: Describer,
    settings: DocumentSettings = _DEFAULTS,
    *,
    last_second: int | None = None,
    report: Report = silent,
) -> None:
    """What `build_documents` gives, as a Parquet file, in the memory of one block of users, however many there are.

    Args:
        file: Its folder is there, and is the caller's own: blocks are written beside it for the time being.
        log: As for `build_documents`, and the others likewise.
    """
    parts: list[Path] = []
    for block in _blocks(log, describer, settings, last_second, report):
        parts.append(file.with_name(f".{file.stem}-{len(parts):05d}.tmp"))
        block.write_parquet(parts[-1])
    if not parts:
        pl.DataFrame(schema=DOCUMENT_COLUMNS).write_parquet(file)
    elif len(parts) == 1:
        parts[0].replace(file)
    else:
        pl.scan_parquet(parts).sink_parquet(file, row_group_size=_ROW_GROUP)
        for part in parts:
            part.unlink()


def _blocks(
    log: UserLog, describer: Describer, settings: DocumentSettings, last_second: int | None, report: Report
) -> Iterator[pl.DataFrame]:
    """Documents of so many users at a time, none of them empty."""
    columns = log.columns
    last_second = max(int(columns.time[columns.ends[columns.ends > columns.starts] - 1].max(initial=0)), last_second or 0)
    rows: list[dict[str, Any]] = []
    count = len(log)
    for done, user_id in enumerate(log.users, start=1):
        rows += _told(user_id, log.of(user_id), describer, settings, last_second)
        if done % 200 == 0 or done == count:
            report("telling behaviour", done, count)
        if rows and (done % _BLOCK == 0 or done == count):
            yield pl.DataFrame(rows, schema=DOCUMENT_COLUMNS)
            rows = []


def _told(
    user_id: str, events: Sequence[Event], describer: Describer, settings: DocumentSettings, last_second: int
) -> list[dict[str, Any]]:
    """One user's documents, as rows."""
    every, sparser_after = settings.every, settings.sparser_after
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
    return [
        {
            "document_id": f"{user_id}@{version}",
            "user_id": user_id,
            "text": describer.describe(events[:end]),
            "events": end,
            "known_until": known_until,
            "superseded_at": told[version + 1][1] if version + 1 < len(told) else FOREVER,
        }
        for version, (end, known_until) in enumerate(told)
    ]
