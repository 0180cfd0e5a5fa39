"""Which events are learnt from, chosen by, and judged on."""

from __future__ import annotations

from typing import Any, get_args

import polars as pl

from score_rag.data.choices import SplitKind
from score_rag.data.interactions import EVENT_COLUMNS, QUESTIONS, SPLITS
from score_rag.data.report import DataReport
from score_rag.data.settings import DataSettings, Months
from score_rag.errors import ChangeSetting, DataError, InputError, did_you_mean

__all__ = ["LEAKS", "SPLIT_KINDS", "month_index", "require_questions", "split_events"]

SPLIT_KINDS: tuple[str, ...] = get_args(SplitKind)
LEAKS = (
    "split leave-last-out: other users' training events may be later than a held-out event, so models learn from its future "
    "(prompts and neighbours are still cut at its time); quantiles or months have no such leak"
)
_ENUM = EVENT_COLUMNS["split"]
_DEFAULTS = DataSettings()


def month_index(times: pl.Expr, *, start: str) -> pl.Expr:
    """Months (UTC) since `start`, which is 0 (METHOD: t = (year - 2000) * 12 + month - 4).

    >>> last = 970_358_399  # the last second of September 2000
    >>> [pl.select(month_index(pl.lit(second), start="2000-04")).item() for second in (last, last + 1)]
    [5, 6]
    """
    year, month = (int(part) for part in start.split("-"))
    when = pl.from_epoch(times, time_unit="s")
    return (when.dt.year().cast(pl.Int32) - year) * 12 + when.dt.month().cast(pl.Int32) - month


def split_events(
    events: pl.DataFrame,
    settings: DataSettings = _DEFAULTS,
    *,
    report: DataReport,
    ordered_only: bool = False,
    **changes: Any,
) -> pl.DataFrame:
    """The same events with their split set, less those that no split takes.

    Args:
        events: Sorted by `timestamp`; with `user_id`, and `split` where the source gave one.
        settings: Their `split` says how. `quantiles` cuts the global time line so that about a share `train` of events comes first, then
            `valid`, the rest is test (a second never lies in two splits, so shares are met as nearly as ties allow); `months` takes ranges
            of calendar months (UTC), and drops the rest (with `background`, only what lies behind the first of train); `leave-last-out`
            takes each user's last event for test and the one before for valid (users with fewer than three are all train); `column` keeps
            what the source said, `background` among it.
        report: Takes dropped rows and warnings.
        ordered_only: Times are a mere order within each user, so that there is no global time line.
        changes: Single settings, in place of those given: `split`, `train`, `valid`, `months`.

    Raises:
        InputError: Settings that make no sense, a split by time where there is none, or `background` where the split makes none.
        DataError: With `column`, the source gave no split; or there are no events.

    >>> frame = pl.DataFrame({"user_id": ["u", "u", "v", "u"], "timestamp": [1, 2, 3, 4]})
    >>> split_events(frame, split="quantiles", train=0.5, valid=0.25, report=DataReport("doctest"))["split"].to_list()
    ['train', 'train', 'valid', 'test']
    >>> split_events(frame, split="leave-last-out", report=DataReport("doctest"))["split"].to_list()
    ['train', 'valid', 'train', 'test']
    """
    settings = settings.changed(**changes)
    how = settings.split
    if not len(events):
        raise DataError("there are no events to split")
    if ordered_only and how in ("quantiles", "months"):
        raise InputError(
            f"the split {how!r} needs times, and this source has only an order",
            expected="leave-last-out or column",
            remedy=ChangeSetting({"data.split": "leave-last-out"}),
        )
    if settings.background and how != "months":
        raise InputError(
            f"the split {how!r} makes no background",
            where="data.background",
            expected="split: months; with split: column the column itself says background",
            found="background: true",
            remedy=ChangeSetting({"data.background": False}),
        )
    if how == "column":
        if "split" not in events.columns:
            raise DataError(
                "the source has no split column",
                expected="a column split with train, valid, test (and perhaps background)",
                remedy=ChangeSetting({"data.split": "quantiles"}),
            )
        return events.with_columns(pl.col("split").cast(pl.String()).cast(_ENUM))
    if how == "quantiles":
        return events.with_columns(split=_quantiles(events, settings.train, settings.valid))
    if how == "leave-last-out":
        report.warn(LEAKS)
        return events.with_columns(split=_last_out())
    return _months(events, settings.months, settings.background, report)


def require_questions(split: str) -> None:
    """A split must be one whose events are questions.

    Raises:
        InputError: It is `background`, or no split.
    """
    if split in QUESTIONS:
        return
    if split in SPLITS:
        raise InputError(
            "background events are learned from and shown in prompts, but never asked about: there is nothing to evaluate",
            expected=" or ".join(QUESTIONS),
            found=split,
            hint="choose another: --split valid",
        )
    raise InputError(f"there is no split {split!r}", hint=did_you_mean(split, QUESTIONS))


def _quantiles(events: pl.DataFrame, train: float, valid: float) -> pl.Expr:
    times = events["timestamp"]
    bounds = [times[min(len(times) - 1, round(len(times) * share))] for share in (train, train + valid)]
    first, second = bounds[0], bounds[1] if train + valid < 1 else int(times[-1]) + 1
    time = pl.col("timestamp")
    return pl.when(time < first).then(_is("train")).when(time < second).then(_is("valid")).otherwise(_is("test"))


def _last_out() -> pl.Expr:
    left = pl.len().over("user_id") - pl.int_range(pl.len()).over("user_id")
    few = pl.len().over("user_id") < 3
    return pl.when(few | (left > 2)).then(_is("train")).when(left == 2).then(_is("valid")).otherwise(_is("test"))


def _months(events: pl.DataFrame, months: Months, background: bool, report: DataReport) -> pl.DataFrame:
    index = month_index(pl.col("timestamp"), start=months.start)
    split = pl.lit(None, dtype=_ENUM)
    for name, (first, last) in months.ranges.items():
        split = pl.when(index.is_between(first, last)).then(_is(name)).otherwise(split)
    if background:
        split = pl.when(index < months.train[0]).then(_is("background")).otherwise(split)
    out = events.with_columns(split=split)
    report.drop("outside the months of the splits", out["split"].null_count())
    return out.filter(pl.col("split").is_not_null())


def _is(split: str) -> pl.Expr:
    return pl.lit(split, dtype=_ENUM)
