"""Times as files tell them, put into seconds since 1970: numbers in some unit, dates written as numbers, dates in words.

Without a form (`data.time_format`) only what can be read one way is read: numbers of one unit, dates with the year first, dates that name
the month. Times before 1980 and in the future are warned of with what the file says: the usual sign of a wrong unit.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from score_rag.data.forms import TIME_UNITS, Forms
from score_rag.data.mistakes import Mistakes
from score_rag.data.report import DataReport
from score_rag.data.spelled_times import likely_forms, spelled, unspelled, zoned
from score_rag.errors import ChangeSetting

__all__ = ["advise_forms", "epochs", "in_seconds", "parse_times", "whole_seconds"]

# Seconds stay below the first number until the year 5138; what is above is counted in a finer unit.
_LEAST = (("nanoseconds", 10**17), ("microseconds", 10**14), ("milliseconds", 10**11))
_NO_SECONDS = _LEAST[-1][1]
# Dates written as numbers, 20191231, 201912312359 and 20191231235959: as a number of seconds or milliseconds these are hardly ever meant.
_DATE_NUMBERS = tuple(
    (int(low), int(high))
    for low, high in (("19000101", "21001231"), ("19" + "0" * 10, "21" + "0" * 10), ("19" + "0" * 12, "21" + "0" * 12))
)
_WIDTHS = {4: "0101000000", 6: "01000000", 8: "000000", 10: "0000", 12: "00", 14: ""}
_EARLY = 315_532_800  # 1980
_DAY = 86_400
_NUMBERS_TOLD = "times read as dates that are written as numbers (20191231)"


def parse_times(cells: pl.Series, report: DataReport, forms: Forms) -> tuple[pl.Series, pl.Series]:
    """(int64, which are bad): numbers as they are (a fraction of a second cut), dates in words as seconds."""
    text = cells.str.strip_chars()
    if forms.spelled:
        values = spelled(text, str(forms.time_format), forms.time_zone)
        return values, values.is_null() | (values < 0)
    whole = text.cast(pl.Int64, strict=False)
    number = text.cast(pl.Float64, strict=False)
    number = number.set(~number.is_finite().fill_null(False), None)
    cut = whole.is_null() & number.is_not_null()
    report.decide("times cut to the whole second", int((cut & (number != number.floor())).sum()))
    # A double holds whole numbers below 2^53 exactly, which is far beyond any time in microseconds.
    values = whole.fill_null(number.floor().cast(pl.Int64, strict=False))
    if forms.time_format is None and (values.is_null() & text.is_not_null()).any():
        dates = unspelled(text, values.is_null() & text.is_not_null(), forms.time_zone)
        report.decide("times read as dates", int((values.is_null() & dates.is_not_null()).sum()))
        values = values.fill_null(dates)
    return values, values.is_null() | (values < 0)


def whole_seconds(events: pl.DataFrame, report: DataReport, *, file: Path, forms: Forms, called: str | None = None) -> pl.DataFrame | None:
    """Events with their times in seconds, where all are in one unit; None where they are not."""
    if "timestamp" not in events.columns or not len(events):
        return events
    times = events["timestamp"]
    seconds = _seconds(times, forms, report)
    if seconds is None:
        return None
    _doubt(seconds, times, report, file, called)
    return events.with_columns(timestamp=seconds)


def in_seconds(
    events: pl.DataFrame,
    lines: pl.Series,
    raw: pl.Series | None,
    *,
    file: Path,
    mistakes: Mistakes,
    report: DataReport,
    forms: Forms,
    called: str | None = None,
) -> pl.DataFrame:
    """Events with their times in seconds: all in one finer unit are divided, a mixture of units is a mistake of the rows in a finer one.

    Args:
        lines: The line of each event.
        raw: What the file says for each time.
        called: What the file calls the times.
    """
    told = events["timestamp"].drop_nulls() if "timestamp" in events.columns else pl.Series([], dtype=pl.Int64)
    if not len(told):
        return events
    seconds = _seconds(events["timestamp"], forms, report)
    texts = events["timestamp"].cast(pl.String()) if raw is None else raw
    if seconds is not None:
        _doubt(seconds, texts, report, file, called)
        return events.with_columns(timestamp=seconds)
    cells = pl.DataFrame({"_line": lines, "timestamp": texts})
    if forms.time_format == "date-number":
        bad, expected = (
            _dates(events["timestamp"]).is_null() & events["timestamp"].is_not_null(),
            "a date written as a number such as 20191231",
        )
    else:
        unit, least = next((unit, least) for unit, least in _LEAST if (told >= least).any())
        bad = (events["timestamp"] >= least).fill_null(False)
        expected = f"one unit in all rows (this looks like {unit}, others do not)"
    mistakes.add(cells, bad, "timestamp", file=file, expected=expected, called=called)
    return events


def epochs(moments: pl.Series, zone: str) -> pl.Series:
    """Seconds since 1970 of dates or moments; those without a zone are in `zone`."""
    if moments.dtype == pl.Date():
        moments = moments.cast(pl.Datetime("us"))
    aware = isinstance(moments.dtype, pl.Datetime) and moments.dtype.time_zone is not None
    return moments.dt.epoch("s") if aware else zoned(moments.cast(pl.Datetime("us")), zone)


def advise_forms(cells: pl.Series, bad: pl.Series, mistakes: Mistakes) -> None:
    """Where all the times that were not understood are of one form, say the setting that reads them."""
    forms = likely_forms(cells.filter(bad).drop_nulls())
    if forms:
        mistakes.advise(f"the times look like {' or '.join(forms)}: {ChangeSetting({'data.time_format': forms[0]})}")


def _seconds(times: pl.Series, forms: Forms, report: DataReport) -> pl.Series | None:
    """Times in seconds; None where they are of several units, or no dates where they were said to be."""
    told = times.drop_nulls()
    if not len(told) or forms.spelled:
        return times
    if forms.time_format in TIME_UNITS:
        return times // TIME_UNITS[forms.time_format]
    low, high = int(told.min()), int(told.max())  # type: ignore[arg-type]  # whole numbers
    if forms.time_format == "date-number" or any(least <= low and high <= most for least, most in _DATE_NUMBERS):
        dates = _dates(times)
        if dates.null_count() == times.null_count():
            report.decide(_NUMBERS_TOLD, len(told))
            return zoned(dates, forms.time_zone)
        if forms.time_format == "date-number":
            return None
    if high < _NO_SECONDS:
        return times
    for unit, least in _LEAST:
        if low >= least and high // TIME_UNITS[unit] < _NO_SECONDS:
            report.decide(f"times read as {unit}", len(told))
            return times // TIME_UNITS[unit]
    return None


def _dates(numbers: pl.Series) -> pl.Series:
    """Moments from dates written as numbers; null where a number is none."""
    # Few days, many events.
    known = pl.DataFrame({"number": numbers.unique().drop_nulls()}).with_columns(text=pl.col("number").cast(pl.String()))
    padded = [pl.when(pl.col("text").str.len_chars() == width).then(pl.col("text") + rest) for width, rest in _WIDTHS.items()]
    moments = known.with_columns(moment=pl.coalesce(padded).str.to_datetime("%Y%m%d%H%M%S", strict=False, time_unit="us"))
    return pl.DataFrame({"number": numbers}).join(moments, on="number", how="left", maintain_order="left")["moment"]


def _doubt(seconds: pl.Series, raw: pl.Series, report: DataReport, file: Path, called: str | None) -> None:
    """Warn of times that are hardly meant, with what the file says."""
    now = int(time.time())
    for what, odd in (("before 1980", seconds < _EARLY), ("in the future", seconds > now + _DAY)):
        many = int(odd.fill_null(False).sum())
        if many:
            place = seconds.arg_min() if what == "before 1980" else seconds.arg_max()
            second = int(seconds[place or 0])
            report.warn(
                f"{many:,} of {len(seconds):,} times of {file.name} (column {called or 'timestamp'}) lie {what}, such as "
                f"{str(raw[place or 0]).strip()} ({_iso(second)}): is the unit right? data.time_format says what they are"
            )


def _iso(second: int) -> str:
    try:
        return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d")
    except (ValueError, OverflowError, OSError):
        return "beyond the year 9999"
