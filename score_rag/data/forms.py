"""How the cells of events say times, labels and numbers: what a user may tell of a file where it cannot be seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

__all__ = ["TIME_UNITS", "Forms", "wrong_time_format", "wrong_time_zone"]

TIME_UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
"""Units that times may be counted in, and how many make a second."""
_KNOWN = (*TIME_UNITS, "date-number")
# A moment whose parts differ, so that a form that lacks the day, the month or the year is noticed.
_MOMENT = datetime(2019, 11, 24, 13, 37, 46, tzinfo=UTC)


@dataclass(frozen=True)
class Forms:
    """What a user told of the cells of events.

    Attributes:
        time_format: A form of strptime, `seconds` (or milli-, micro-, nanoseconds) since 1970, or `date-number` (20191231); None looks
            at the values.
        time_zone: Of times that name none.
        labels: What words (or numbers) in the column of labels mean, 1 or 0.
        decimal: The sign before the fraction of a rating, `.` or `,`.
    """

    time_format: str | None = None
    time_zone: str = "UTC"
    labels: Mapping[str, int] = field(default_factory=dict)
    decimal: str = "."

    @property
    def spelled(self) -> bool:
        """Whether times are texts in a form that the user told."""
        return self.time_format is not None and self.time_format not in _KNOWN

    def quick(self, columns: Mapping[str, str]) -> bool:
        """Whether these columns can be read by their types alone."""
        spelled = self.spelled and "timestamp" in columns
        return not (spelled or (self.labels and "label" in columns) or (self.decimal != "." and "rating" in columns))

    def in_seconds(self) -> Forms:
        """The same for times that are in seconds already."""
        return replace(self, time_format="seconds")


def wrong_time_format(form: str) -> str | None:
    """What is wrong with a form of times; None where nothing is.

    >>> wrong_time_format("%d.%m.%Y"), wrong_time_format("seconds")
    (None, None)
    >>> wrong_time_format("%H:%M")
    'it names no day: it needs the year (%Y), the month (%m) and the day (%d)'
    """
    if form in _KNOWN:
        return None
    if "%" not in form:
        return f"a form such as %d.%m.%Y %H:%M, or one of {', '.join(_KNOWN)}"
    try:
        again = datetime.strptime(_MOMENT.strftime(form), form)
    except ValueError as error:
        return f"it is no form of strptime: {error}"
    if again.date() != _MOMENT.date():
        return "it names no day: it needs the year (%Y), the month (%m) and the day (%d)"
    return None


def wrong_time_zone(name: str) -> str | None:
    """What is wrong with the name of a time zone; None where nothing is.

    >>> wrong_time_zone("Europe/Berlin")
    >>> wrong_time_zone("Berlin")
    'there is no such time zone: UTC, Europe/Berlin, America/New_York, ...'
    """
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return "there is no such time zone: UTC, Europe/Berlin, America/New_York, ..."
    return None
