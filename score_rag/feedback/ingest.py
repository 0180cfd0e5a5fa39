"""A file of judgements as feedback, read by the rules by which a pipeline reads its data."""

from __future__ import annotations

import time
from pathlib import Path

import polars as pl

from score_rag.data.interactions import Interactions
from score_rag.data.log import Item
from score_rag.data.report import DataReport
from score_rag.data.settings import DataSettings
from score_rag.data.sources import SOURCES, read_source
from score_rag.errors import InputError
from score_rag.feedback.record import Feedback, natural_id
from score_rag.progress import Report, silent

__all__ = ["read_feedback"]


def read_feedback(
    file: Path, settings: DataSettings, *, items: str | None = None, progress: Report = silent
) -> tuple[list[Feedback], DataReport]:
    """(judgements, the account of the reading).

    Columns, forms and the threshold are those of the pipeline where its source reads single files (`table`), otherwise those that `table`
    has by default: user_id, item_id, label or rating, timestamp. A column `split` says nothing here. Judgements without a time are given
    now, and of one user and item there is then one.

    Args:
        items: A file beside `file` that tells of items; without, the events' file may, and items are called by their ids where it does not.

    Raises:
        InputError: There is no such file.
        DataError: It is malformed.
    """
    if not file.is_file():
        raise InputError("there is no such file of judgements", where=file)
    own = SOURCES[settings.source].one_file
    chosen = settings if own else DataSettings.of(source="table", threshold=settings.threshold)
    chosen = chosen.changed(path=str(file.absolute().parent), interactions=file.name, items=items or "none")
    report = DataReport(chosen.source)
    events, catalogue = read_source(chosen.source, chosen.path, report=report, progress=progress, **chosen.reading())
    if "label" in events.columns:
        liked = events["label"] > 0
    elif "rating" in events.columns:
        liked = events["rating"] >= chosen.threshold
    else:
        # What the source does not say is said here: a like that nobody gave would be told of everybody in the file.
        report.say(f"no rating or label column: {len(events):,} rows taken as likes")
        liked = pl.Series([True] * len(events))
    now = int(time.time())
    times = events["timestamp"].to_list() if "timestamp" in events.columns else [None] * len(events)
    told = _told(catalogue)
    rows = zip(events["user_id"].cast(pl.String()), events["item_id"].cast(pl.String()), liked, times, strict=True)
    found = [
        Feedback(natural_id(user, item, when), user, item, bool(yes), now if when is None else int(when), item=told.get(item))
        for user, item, yes, when in rows
    ]
    return found, report


def _told(catalogue: pl.DataFrame) -> dict[str, Item]:
    """The items of which more is said than their id."""
    frame = catalogue.with_columns(pl.col("item_id").cast(pl.String()))
    nobody = pl.DataFrame(schema={"user_id": pl.String(), "item_id": pl.String(), "label": pl.Int8(), "timestamp": pl.Int64()})
    items = Interactions(nobody, frame).catalogue
    return {item_id: item for item_id, item in items.items() if item.title != item_id or item.genres or item.creators or item.keywords}
