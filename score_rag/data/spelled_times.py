"""Dates in words: in forms that can be read one way, or in the form that a user told."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product
from zoneinfo import ZoneInfo

import polars as pl

__all__ = ["likely_forms", "spelled", "unspelled", "zoned"]

_CLOCKS = ("", " %H:%M", " %H:%M:%S%.f", " %I:%M %p", " %I:%M:%S %p")
# The year first, or the month by its name: these have one meaning. (Slashes, points, T and zones by name were replaced before.)
_DAYS = ("%Y-%m-%d", "%d %b %Y", "%b %d %Y")
_NAIVE = (*(day + clock for day, clock in product(_DAYS, _CLOCKS)), "%b %d %H:%M:%S %Y")
_AWARE = (*(f"{day} %H:%M{rest}%#z" for day, rest in product(_DAYS, ("", ":%S%.f", " ", ":%S%.f "))), "%b %d %H:%M:%S %z %Y")
_REWRITTEN = (
    (r"^(\d{4})[/.](\d{1,2})[/.](\d{1,2})", "$1-$2-$3"),
    (r"^(\d{4})(\d{2})(\d{2})[Tt](\d{2})(\d{2})(\d{2})", "$1-$2-$3 $4:$5:$6"),
    (r"^(\d{4}-\d{1,2}-\d{1,2})[Tt]", "$1 "),
    (r"^(?i:mon|tue|wed|thu|fri|sat|sun)[a-z]*[,.]?\s+", ""),
    (r"^(\d{1,2})[- /]([A-Za-z]{3})[a-z]{0,6}[.]?[-, /]+(\d{4})", "$1 $2 $3"),
    (r"^([A-Za-z]{3})[a-z]{0,6}[.]?\s+(\d{1,2})(?:st|nd|rd|th)?,\s*(\d{4})", "$1 $2 $3"),
    (r"(?i)\s*(?:z|utc|gmt)$", "+00:00"),
    (r"\s+", " "),
)
# Forms with two meanings, and others that a user has to name.
_AMBIGUOUS = ("%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%m-%d-%Y", "%d-%m-%Y", "%m/%d/%y", "%d/%m/%y", "%d.%m.%y", "%m %d, %Y")
_TRIED = 1000


def unspelled(text: pl.Series, left: pl.Series, zone: str) -> pl.Series:
    """Seconds (int64) of the cells where `left` is true, whose form nobody told; null for the rest and for what is no date."""
    known = text.filter(left).unique()
    plain = known
    for pattern, said in _REWRITTEN:
        plain = plain.str.replace_all(pattern, said)
    found = pl.Series([None] * len(known), dtype=pl.Int64)
    for form in (*_NAIVE, *_AWARE):
        todo = found.is_null().arg_true()
        if not len(todo):
            break
        moments = _moments(plain.gather(todo), form)
        found = found.scatter(todo, moments.dt.epoch("s") if "z" in form else zoned(moments, zone))
    return _looked_up(text, known, found).set(~left, None)


def spelled(text: pl.Series, form: str, zone: str) -> pl.Series:
    """Seconds (int64) of cells in a form of strptime; null where a cell is in another."""
    known = text.drop_nulls().unique()
    # What Python's forms and those of the quick reader have in common is read quickly; Python has the last word.
    moments = _moments(known, form.replace(".%f", "%.f")) if "%z" not in form and "%Z" not in form else None
    found = zoned(moments, zone) if moments is not None else pl.Series([None] * len(known), dtype=pl.Int64)
    todo = found.is_null().arg_true()
    if len(todo):
        found = found.scatter(todo, pl.Series([_strptime(cell, form, zone) for cell in known.gather(todo)], dtype=pl.Int64))
    return _looked_up(text, known, found)


def likely_forms(texts: pl.Series) -> list[str]:
    """The forms, of those that a user has to name, in which all of these texts are: `%d.%m.%Y` for 31.12.2019."""
    some = texts.unique().head(_TRIED).str.strip_chars()
    if not len(some):
        return []
    clocks = [clock.removesuffix("%.f") for clock in _CLOCKS]
    return [form for form in map("".join, product(_AMBIGUOUS, clocks)) if spelled(some, form, "UTC").null_count() == 0]


def zoned(moments: pl.Series, zone: str) -> pl.Series:
    """Seconds (int64) of moments without a zone, in this one.

    An hour that comes twice (when clocks go back) is the first; one that never comes is as much later as clocks were put on.
    """
    if zone == "UTC":
        return moments.dt.epoch("s")
    there = moments.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").dt.epoch("s")
    skipped = there.is_null() & moments.is_not_null()
    if not skipped.any():
        return there
    before = moments.dt.offset_by("-2h").dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").dt.epoch("s")
    return there.fill_null((before + 2 * 3600).set(~skipped, None))


def _moments(texts: pl.Series, form: str) -> pl.Series:
    try:
        return texts.str.to_datetime(form, strict=False, time_unit="us")
    except pl.exceptions.PolarsError:
        return pl.Series([None] * len(texts), dtype=pl.Datetime("us"))


def _strptime(cell: str, form: str, zone: str) -> int | None:
    try:
        moment = datetime.strptime(cell, form)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC).timestamp() // 1)
    except (ValueError, OverflowError):
        return None


def _looked_up(text: pl.Series, known: pl.Series, found: pl.Series) -> pl.Series:
    table = pl.DataFrame({"text": known, "second": found})
    return pl.DataFrame({"text": text}).join(table, on="text", how="left", maintain_order="left")["second"]
