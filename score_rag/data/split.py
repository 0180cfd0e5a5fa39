"""Which events are learnt from, chosen by, and judged on."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Literal

import polars as pl

from score_rag.data.interactions import EVENT_COLUMNS, QUESTIONS, SPLITS
from score_rag.data.report import DataReport
from score_rag.errors import DataError, InputError, did_you_mean

__all__ = ["LEAKS", "SPLIT_KINDS", "SplitKind", "month_index", "require_questions", "split_events"]

SplitKind = Literal["quantiles", "months", "leave-last-out", "column"]
SPLIT_KINDS = ("quantiles", "months", "leave-last-out", "column")
LEAKS = (
    "split leave-last-out: other users' training events may be later than a held-out event, so models learn from its future "
    "(prompts and neighbours are still cut at its time); quantiles or months have no such leak"
)
_ENUM = EVENT_COLUMNS["split"]


def month_index(times: pl.Expr, *, start: str = "2000-04") -> pl.Expr:
    """Months (UTC) since `start`, which is 0 (METHOD: t = (year - 2000) * 12 + month - 4).

    >>> pl.select(month_index(pl.lit(970_358_399)), after=month_index(pl.lit(970_358_400))).row(0)  # the last second of September 2000
    (5, 6)
    """
    year, month = (int(part) for part in start.split("-"))
    when = pl.from_epoch(times, time_unit="s")
    return (when.dt.year().cast(pl.Int32) - year) * 12 + when.dt.month().cast(pl.Int32) - month


def split_events(
    events: pl.DataFrame,
    how: str,
    *,
    report: DataReport,
    train: float = 0.8,
    valid: float = 0.1,
    months: Mapping[str, tuple[int, int]] | None = None,
    start: str = "2000-04",
    ordered_only: bool = False,
    background: bool = False,
) -> pl.DataFrame:
    """The same events with their split set, less those that no split takes.

    Args:
        events: Sorted by `timestamp`; with `user_id`, and `split` where the source gave one.
        how: `quantiles` cuts the global time line so that about a share `train` of events comes first, then `valid`, the rest is test
            (a second never lies in two splits, so shares are met as nearly as ties allow); `months` takes ranges of calendar months (UTC),
            and drops the rest; `leave-last-out` takes each user's last event for test and the one before for valid (users with fewer than
            three are all train); `column` keeps what the source said, `background` among it.
        report: Takes dropped rows and warnings.
        train: Share of training events, above 0.
        valid: Share of validation events, above 0; `train + valid` at most 1.
        months: Split to its first and last month, counted from `start`.
        start: Month 0, as `2000-04`.
        background: With `months`: events before the first training month are learned from and told, instead of dropped. What is learned
            from is in order of time, so a question's history and statistics stay strictly earlier.
        ordered_only: Times are a mere order within each user, so that there is no global time line.

    Raises:
        InputError: An unknown `how`, shares or months that make no sense, a split by time where there is none, or `background` where
            the split has none to make.
        DataError: With `column`, the source gave no split; or there are no events.

    >>> frame = pl.DataFrame({"user_id": ["u", "u", "v", "u"], "timestamp": [1, 2, 3, 4]})
    >>> split_events(frame, "quantiles", train=0.5, valid=0.25, report=DataReport("doctest"))["split"].to_list()
    ['train', 'train', 'valid', 'test']
    >>> split_events(frame, "leave-last-out", report=DataReport("doctest"))["split"].to_list()
    ['train', 'valid', 'train', 'test']
    """
    if how not in SPLIT_KINDS:
        raise InputError(f"there is no split {how!r}", hint=did_you_mean(how, SPLIT_KINDS))
    if not len(events):
        raise DataError("there are no events to split")
    if ordered_only and how in ("quantiles", "months"):
        raise InputError(
            f"the split {how!r} needs times, and this source has only an order",
            expected="leave-last-out or column",
            hint="--set data.split=leave-last-out",
        )
    if background and how != "months":
        raise InputError(
            f"the split {how!r} makes no background",
            where="data.background",
            expected="split: months; with split: column the column itself says background",
            found="background: true",
        )
    if how == "column":
        if "split" not in events.columns:
            raise DataError(
                "the source has no split column",
                expected="a column split with train, valid, test (and perhaps background)",
                hint="--set data.split=quantiles",
            )
        return events.with_columns(pl.col("split").cast(pl.String()).cast(_ENUM))
    if how == "quantiles":
        return events.with_columns(split=_quantiles(events, train, valid))
    if how == "leave-last-out":
        report.warn(LEAKS)
        return events.with_columns(split=_last_out())
    return _months(events, months or {}, start, report, background)


def require_questions(split: str) -> None:
    """A split must be one whose events are questions.

    Raises:
        InputError: It is `background`, or no split.
    """
    if split in QUESTIONS:
        return
    if split in SPLITS:
        raise InputError(
            "background events are learned from and told, and are no questions: there is nothing to evaluate",
            expected=" or ".join(QUESTIONS),
            found=split,
            hint="choose another: --split valid",
        )
    raise InputError(f"there is no split {split!r}", hint=did_you_mean(split, QUESTIONS))


def _quantiles(events: pl.DataFrame, train: float, valid: float) -> pl.Expr:
    if not (0 < train < 1 and valid > 0 and train + valid <= 1):
        raise InputError(
            "the shares of the splits make no sense", expected="train > 0, valid > 0, train + valid <= 1", found=f"{train}, {valid}"
        )
    times = events["timestamp"]
    bounds = [times[min(len(times) - 1, round(len(times) * share))] for share in (train, train + valid)]
    first, second = bounds[0], bounds[1] if train + valid < 1 else int(times[-1]) + 1
    time = pl.col("timestamp")
    return pl.when(time < first).then(_is("train")).when(time < second).then(_is("valid")).otherwise(_is("test"))


def _last_out() -> pl.Expr:
    left = pl.len().over("user_id") - pl.int_range(pl.len()).over("user_id")
    few = pl.len().over("user_id") < 3
    return pl.when(few | (left > 2)).then(_is("train")).when(left == 2).then(_is("valid")).otherwise(_is("test"))


def _months(events: pl.DataFrame, months: Mapping[str, tuple[int, int]], start: str, report: DataReport, background: bool) -> pl.DataFrame:
    ranges = [months[name] for name in QUESTIONS if name in months]
    if set(months) != set(QUESTIONS) or any(a > b for a, b in ranges) or any(a[1] >= b[0] for a, b in pairwise(ranges)):
        raise InputError(
            "the months of the splits make no sense",
            where="data.months",
            expected="train, valid and test, each [first, last], one after the other",
            found=", ".join(f"{name} {list(span)}" for name, span in months.items()) or "none",
        )
    index = month_index(pl.col("timestamp"), start=start)
    split = pl.lit(None, dtype=_ENUM)
    for name, (first, last) in months.items():
        split = pl.when(index.is_between(first, last)).then(_is(name)).otherwise(split)
    if background:
        split = pl.when(index < months["train"][0]).then(_is("background")).otherwise(split)
    out = events.with_columns(split=split)
    report.drop("outside the months of the splits", out["split"].null_count())
    return out.filter(pl.col("split").is_not_null())


def _is(split: str) -> pl.Expr:
    return pl.lit(split, dtype=_ENUM)
