"""Turning cells into columns: what every reader of events shares, whatever its file format.

Files are read twice at most. The quick reading trusts the types it is told; where it fails or leaves a cell empty, the careful one takes
every cell as text, keeps what can be understood (noting each decision), and names what cannot, with its line, all mistakes at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from score_rag.data.interactions import SPLITS
from score_rag.data.mistakes import Mistakes
from score_rag.data.report import DataReport

__all__ = [
    "EVENT_TYPES",
    "in_seconds",
    "is_plain",
    "parse_cells",
    "parse_events",
    "whole_seconds",
]

EVENT_TYPES: dict[str, pl.DataType] = {
    "user_id": pl.Categorical(),
    "item_id": pl.Categorical(),
    "rating": pl.Float64(),
    "label": pl.Float64(),
    "timestamp": pl.Int64(),
    "split": pl.Categorical(),
}
"""Columns that a source may give for an event, and how a plain file holds them."""

_EXPECTED = {
    "user_id": "an id",
    "item_id": "an id",
    "rating": "a number such as 4.5",
    "label": "0 or 1",
    "timestamp": "whole seconds since 1970, or a date such as 2021-06-30 or 2021-06-30T12:00:00+02:00",
    "split": " or ".join(SPLITS),
}
_DATES = ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M")
_ZONED = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z")
# An id that needs a closer look: nothing, white space around it, a line break or NUL in it, or what may be a JSON list or object.
_ODD_ID = r"^$|^\s|\s$|[\r\n\x00]|^[\[{]"
# Seconds stay below the first number until the year 5138; what is above is counted in a finer unit.
_UNITS = ((10**17, 10**9, "nanoseconds"), (10**14, 10**6, "microseconds"), (10**11, 10**3, "milliseconds"))


def is_plain(events: pl.DataFrame, *, ids: bool = True) -> bool:
    """Whether a quick reading can stay: no cell is missing, every number finite, no time before 1970, every label 0 or 1, every id tidy.

    Args:
        ids: Look at the ids too; unneeded where nothing in the file could make one odd.
    """
    if any(events[name].null_count() for name in events.columns):
        return False
    if not len(events):
        return True
    if "rating" in events.columns and not events["rating"].is_finite().all():
        return False
    if "label" in events.columns and not events["label"].is_in([0.0, 1.0]).all():
        return False
    if "split" in events.columns and not set(events["split"].unique().cast(pl.String())) <= set(SPLITS):
        return False
    if "timestamp" in events.columns and events["timestamp"].min() < 0:  # type: ignore[operator]  # whole numbers, by their type
        return False
    return not ids or not any(events[name].unique().cast(pl.String()).str.contains(_ODD_ID).any() for name in ("user_id", "item_id"))


def parse_events(
    text: pl.DataFrame, *, file: Path, mistakes: Mistakes, report: DataReport, called: Mapping[str, str] | None = None
) -> pl.DataFrame:
    """`parse_cells`, then `in_seconds`."""
    events, lines = parse_cells(text, file=file, mistakes=mistakes, report=report, called=called)
    return in_seconds(events, lines, file=file, mistakes=mistakes, report=report, called=(called or {}).get("timestamp"))


def parse_cells(
    text: pl.DataFrame, *, file: Path, mistakes: Mistakes, report: DataReport, called: Mapping[str, str] | None = None
) -> tuple[pl.DataFrame, pl.Series]:
    """Events from text cells, carefully, and the line of each. Times are left in the unit that they are in: see `in_seconds`.

    Args:
        text: Any of the columns of `EVENT_TYPES`, as text, and `_line`.
        file: Where they are from, for messages.
        mistakes: Takes what cannot be understood; the caller settles.
        report: Takes rows that are left out (empty lines) and decisions.
        called: Our names to the file's, for messages.

    Returns:
        The columns with the types of `EVENT_TYPES` (rows with mistakes hold nulls); their lines.
    """
    names = [name for name in EVENT_TYPES if name in text.columns]
    empty = text.select(pl.all_horizontal(pl.col(name).str.strip_chars().fill_null("") == "" for name in names)).to_series()
    report.drop("empty lines", int(empty.sum()))
    text = text.filter(~empty)
    called = called or {}
    out: dict[str, pl.Series] = {}
    for name in names:
        cells = text[name]
        if name in ("user_id", "item_id"):
            values, bad = _tidy_ids(cells, report)
        elif name == "split":
            values = cells.str.strip_chars()
            bad = ~values.is_in(SPLITS).fill_null(False)
        elif name == "label":
            said = cells.str.strip_chars().str.to_lowercase().replace({"true": "1", "false": "0"})
            values = said.cast(pl.Float64, strict=False)
            bad = ~values.is_in([0.0, 1.0]).fill_null(False)
        elif name == "rating":
            values = cells.str.strip_chars().cast(pl.Float64, strict=False)
            bad = ~values.is_finite().fill_null(False)
        else:
            values, bad = _parse_times(cells, report)
        mistakes.add(text, bad, name, file=file, expected=_EXPECTED[name], called=called.get(name))
        out[name] = values.set(bad, None).cast(EVENT_TYPES[name], strict=False)
    return pl.DataFrame(out), text["_line"]


def _tidy_ids(cells: pl.Series, report: DataReport) -> tuple[pl.Series, pl.Series]:
    """(ids without white space around them, which are none)."""
    values = cells.str.strip_chars()
    bad = values.is_null() | (values.fill_null("") == "") | cells.str.contains("\0", literal=True).fill_null(False)
    report.decide("ids with white space around them, trimmed", int(((values != cells) & ~bad).sum()))
    report.decide("ids with line breaks in them, kept (or is a quote not closed?)", int((values.str.contains(r"[\r\n]") & ~bad).sum()))
    return values, bad


def whole_seconds(events: pl.DataFrame, report: DataReport) -> pl.DataFrame | None:
    """Events with their times in seconds, where all are in one unit; None where they are not."""
    if "timestamp" not in events.columns or not len(events):
        return events
    low, high = int(events["timestamp"].min()), int(events["timestamp"].max())  # type: ignore[arg-type]  # whole numbers
    if high < _UNITS[-1][0]:
        return events
    for least, factor, unit in _UNITS:
        if low >= least and high // factor < _UNITS[-1][0]:
            report.decide(f"times read as {unit}", len(events))
            return events.with_columns(timestamp=pl.col("timestamp") // factor)
    return None


def in_seconds(
    events: pl.DataFrame, lines: pl.Series, *, file: Path, mistakes: Mistakes, report: DataReport, called: str | None = None
) -> pl.DataFrame:
    """Events with their times in seconds: all in one finer unit are divided, a mixture of units is a mistake of the rows in a finer one.

    Args:
        lines: The line of each event.
        called: What the file calls the times.
    """
    told = events["timestamp"].drop_nulls() if "timestamp" in events.columns else pl.Series([], dtype=pl.Int64)
    if not len(told):
        return events
    for least, factor, unit in _UNITS:
        fine = (events["timestamp"] >= least).fill_null(False)
        if not fine.any():
            continue
        if (told >= least).all():
            report.decide(f"times read as {unit}", len(told))
            return events.with_columns(timestamp=pl.col("timestamp") // factor)
        cells = pl.DataFrame({"_line": lines, "timestamp": events["timestamp"].cast(pl.String())})
        expected = f"one unit in all rows (this looks like {unit}, others do not)"
        mistakes.add(cells, fine, "timestamp", file=file, expected=expected, called=called)
        break
    return events


def _parse_times(cells: pl.Series, report: DataReport) -> tuple[pl.Series, pl.Series]:
    """(int64, which are bad): numbers as they are (a fraction of a second cut), dates as seconds (UTC where no zone is given)."""
    text = cells.str.strip_chars()
    whole = text.cast(pl.Int64, strict=False)
    number = text.cast(pl.Float64, strict=False)
    number = number.set(~number.is_finite().fill_null(False), None)
    cut = whole.is_null() & number.is_not_null()
    report.decide("times cut to the whole second", int((cut & (number != number.floor())).sum()))
    # A double holds whole numbers below 2^53 exactly, which is far beyond any time in microseconds.
    values = whole.fill_null(number.floor().cast(pl.Int64, strict=False))
    left = values.is_null() & text.is_not_null()
    if left.any():
        naive = [text.str.to_datetime(form, strict=False, time_zone="UTC", time_unit="us") for form in _DATES]
        zoned = [text.str.to_datetime(form, strict=False, time_unit="us").dt.convert_time_zone("UTC") for form in _ZONED]
        told = pl.select(pl.coalesce(*naive, *zoned)).to_series()
        dates = told.dt.epoch("s")
        report.decide("times read as dates", int((left & dates.is_not_null()).sum()))
        values = values.fill_null(dates)
    return values, values.is_null() | (values < 0)
