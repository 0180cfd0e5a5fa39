"""Intervals in JSON and on the screen: JSON has no NaN, and a value that is undefined is told as a dash."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from score_rag.metrics.bootstrap import Interval

__all__ = ["known", "rounded", "short", "short_p", "signed", "unrounded"]


def rounded(found: Interval) -> dict[str, float | None]:
    """For JSON.

    >>> rounded(Interval(0.123456, 0.1, float("nan")))
    {'value': 0.12346, 'low': 0.1, 'high': None}
    """
    return {name: None if np.isnan(value) else round(value, 5) for name, value in vars(found).items()}


def unrounded(value: Mapping[str, float | None]) -> Interval:
    """What `rounded` gave, as an interval.

    >>> unrounded({"value": 0.5, "low": 0.4, "high": None})
    Interval(value=0.5, low=0.4, high=nan)
    """
    return Interval(**{name: float("nan") if found is None else found for name, found in value.items()})


def known(value: float | None) -> float | None:
    """A number for JSON; None where it is undefined."""
    return None if value is None or np.isnan(value) else value


def short(value: float | None, digits: int = 4) -> str:
    """For a column of shares.

    >>> short(0.71234), short(1.0), short(float("nan")), short(None)
    ('.7123', '1.0000', '-', '')
    """
    return "" if value is None else "-" if np.isnan(value) else f"{value:.{digits}f}".removeprefix("0")


def short_p(value: float | None) -> str:
    """For a column of p-values."""
    return "-" if value is None or np.isnan(value) else f"{value:.3f}".removeprefix("0")


def signed(value: float) -> str:
    """A difference of shares.

    >>> signed(0.0126), signed(-0.5), signed(10.25), signed(float("nan"))
    ('+.013', '-.500', '+10.250', '-')
    """
    told = f"{value:+.3f}"
    return "-" if np.isnan(value) else told[0] + told[1:].removeprefix("0")
