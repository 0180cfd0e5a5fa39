"""Arguments as callers write them: times, counts, ids, texts. Each is understood in one way everywhere, or refused where it enters."""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime
from numbers import Integral, Real
from typing import Any, overload

from score_rag.errors import InputError

__all__ = ["Time", "read_count", "read_id", "read_text", "read_time"]

Time = int | float | str | date | datetime
"""A time as callers may write it; see `read_time`."""

_LATEST = 100_000_000_000
"""Seconds until the year 5138; milliseconds of 1973 onwards are larger."""
_EARLIEST = -62_135_596_800
"""The first second of the year 1."""
_EXPECTED = "a date or time such as 2021-06-30, a datetime, or seconds since 1970"


@overload
def read_time(given: None, *, where: str = "as_of") -> None: ...
@overload
def read_time(given: object, *, where: str = "as_of") -> int | None: ...
def read_time(given: object, *, where: str = "as_of") -> int | None:
    """The time of a question in whole seconds since 1970; None stays None (now).

    What has no zone is UTC. A part of a second counts as begun: what happened in the second before is known.

    >>> read_time("1970-01-02"), read_time("1970-01-01T01:00+01:00"), read_time(datetime(1970, 1, 1, 0, 1)), read_time(12.5)
    (86400, 0, 60, 13)

    Args:
        given: Seconds, a `datetime` or `date`, or text: an ISO date or time, or seconds.
        where: What the caller calls it, for messages.

    Raises:
        InputError: It is none of those, or so large that it must be milliseconds.
    """
    if given is None:
        return None
    if isinstance(given, str):
        given = _from_text(given, where)
    if isinstance(given, date) and not isinstance(given, datetime):
        given = datetime(given.year, given.month, given.day)
    if isinstance(given, datetime):
        moment = given if given.tzinfo else given.replace(tzinfo=UTC)
        return math.ceil((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    if isinstance(given, bool) or not isinstance(given, Real):
        raise InputError("a time cannot be read", where=where, expected=_EXPECTED, found=_shown(given))
    if not isinstance(given, Integral) and not math.isfinite(float(given)):
        raise InputError("a time is no number", where=where, expected=_EXPECTED, found=given)
    seconds = int(given) if isinstance(given, Integral) else math.ceil(float(given))
    if not _EARLIEST <= seconds < _LATEST:
        found = seconds if abs(seconds) < 10**30 else "a number of more than 30 digits"
        raise InputError("a time is not in seconds", where=where, expected=_EXPECTED, found=found, hint=_in_seconds(seconds))
    return seconds


def _from_text(text: str, where: str) -> float | datetime:
    plain = text.strip()
    # Eight digits are seconds of 1970, or a date without hyphens: which of both is meant cannot be known.
    if re.fullmatch(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", plain):
        day = f"{plain[:4]}-{plain[4:6]}-{plain[6:]}"
        raise InputError("a time may be a date or seconds", where=where, expected=_EXPECTED, found=text, hint=f"as a date: {day}")
    if re.fullmatch(r"[+-]?\d{1,30}(\.\d{1,9})?", plain, re.ASCII):
        return float(plain) if "." in plain else int(plain)
    try:
        return datetime.fromisoformat(plain)
    except ValueError:
        raise InputError("a time cannot be read", where=where, expected=_EXPECTED, found=_shown(text)) from None


def _in_seconds(number: int) -> str | None:
    for name, factor in (("milliseconds", 10**3), ("microseconds", 10**6), ("nanoseconds", 10**9)):
        seconds = number // factor
        if 0 < seconds < 4_102_444_800:
            return f"read as {name} it is {datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC; give {seconds}"
    return None


def read_count(given: object, *, where: str) -> int:
    """A number of things, at least one.

    Raises:
        InputError: It is not a whole number of 1 or more.
    """
    if isinstance(given, bool) or not isinstance(given, Integral) or int(given) < 1:
        raise InputError("a number of results is a whole number of 1 or more", where=where, expected="1 or more", found=_shown(given))
    return int(given)


def read_id(given: object, *, where: str) -> str:
    """An id as the text that it is in the data: the number 42 and the text "42" name the same user.

    Raises:
        InputError: It is neither text nor a whole number.
    """
    if isinstance(given, Integral) and not isinstance(given, bool):
        return str(int(given))
    if not isinstance(given, str):
        raise InputError("an id is a text or a whole number", where=where, expected='such as "42" or 42', found=_shown(given))
    return read_text(given, where=where)


def read_text(given: Any, *, where: str) -> str:
    """A text that can be written and read again.

    Raises:
        InputError: It is no text, or holds half of a surrogate pair, which stands for no character.
    """
    if not isinstance(given, str):
        raise InputError("this has to be a text", where=where, expected="a text", found=_shown(given))
    try:
        given.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            "a text holds half of a surrogate pair, which stands for no character",
            where=where,
            expected="text that UTF-8 can write",
            found=f"{given[error.start]!r} at character {error.start + 1}",
            hint='decode it again from its bytes, or leave such characters out: text.encode("utf-8", "ignore").decode()',
        ) from None
    return given


def _shown(given: object) -> str:
    told = given if isinstance(given, str) else f"{given!r} ({type(given).__name__})"
    return ascii(told) if any("\ud800" <= sign <= "\udfff" for sign in told) else told
