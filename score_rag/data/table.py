"""Turning cells into columns: what every reader of events shares, whatever its file format.

Files are read twice at most. The quick reading trusts the types it is told; where it fails or leaves a cell empty, the careful one takes
every cell as text, keeps what can be understood (noting each decision), and names what cannot, with its line, all mistakes at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from score_rag.data.forms import Forms
from score_rag.data.interactions import SPLITS
from score_rag.data.mistakes import Mistakes
from score_rag.data.report import DataReport
from score_rag.data.times import advise_forms, in_seconds, parse_times

__all__ = ["EVENT_TYPES", "is_plain", "parse_cells", "parse_events"]

EVENT_TYPES: dict[str, pl.DataType] = {
    "user_id": pl.Categorical(),
    "item_id": pl.Categorical(),
    "rating": pl.Float64(),
    "label": pl.Float64(),
    "timestamp": pl.Int64(),
    "split": pl.Categorical(),
}
"""Columns that a source may give for an event, and how a plain file holds them."""

_PLAIN = Forms()
_EXPECTED = {
    "user_id": "an id",
    "item_id": "an id",
    "rating": "a number such as 4.5",
    "label": "0 or 1",
    "timestamp": "whole seconds since 1970, or a date such as 2021-06-30 or 2021-06-30T12:00:00+02:00",
    "split": " or ".join(SPLITS),
}
# An id that needs a closer look: nothing, white space around it, a line break or NUL in it, or what may be a JSON list or object.
_ODD_ID = r"^$|^\s|\s$|[\r\n\x00]|^[\[{]"


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
    text: pl.DataFrame,
    *,
    file: Path,
    mistakes: Mistakes,
    report: DataReport,
    called: Mapping[str, str] | None = None,
    forms: Forms = _PLAIN,
) -> pl.DataFrame:
    """`parse_cells`, then `in_seconds`."""
    events, lines, raw = parse_cells(text, file=file, mistakes=mistakes, report=report, called=called, forms=forms)
    name = (called or {}).get("timestamp")
    return in_seconds(events, lines, raw, file=file, mistakes=mistakes, report=report, forms=forms, called=name)


def parse_cells(
    text: pl.DataFrame,
    *,
    file: Path,
    mistakes: Mistakes,
    report: DataReport,
    called: Mapping[str, str] | None = None,
    forms: Forms = _PLAIN,
) -> tuple[pl.DataFrame, pl.Series, pl.Series | None]:
    """Events from text cells, carefully, with the line of each and its time as told. Times stay in their unit: see `in_seconds`.

    Args:
        text: Any of the columns of `EVENT_TYPES`, as text, and `_line`.
        file: Where they are from, for messages.
        mistakes: Takes what cannot be understood; the caller settles.
        report: Takes rows that are left out (empty lines) and decisions.
        called: Our names to the file's, for messages.
        forms: What the user told of the cells.

    Returns:
        The columns with the types of `EVENT_TYPES` (rows with mistakes hold nulls); their lines; the cells of the times.
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
            values, bad = _labels(cells, forms)
        elif name == "rating":
            values, bad = _numbers(cells, forms)
        else:
            values, bad = parse_times(cells, report, forms)
            if forms.time_format is None:
                advise_forms(cells, bad, mistakes)
        mistakes.add(text, bad, name, file=file, expected=_expected(name, forms), called=called.get(name))
        out[name] = values.set(bad, None).cast(EVENT_TYPES[name], strict=False)
    return pl.DataFrame(out), text["_line"], text["timestamp"] if "timestamp" in out else None


def _expected(name: str, forms: Forms) -> str:
    if name == "timestamp" and forms.time_format:
        return f"a time as data.time_format says, {forms.time_format}"
    if name == "label" and forms.labels:
        return f"0, 1 or a word of data.labels ({', '.join(map(str, forms.labels))})"
    return f"a number such as 4{forms.decimal}5" if name == "rating" else _EXPECTED[name]


def _labels(cells: pl.Series, forms: Forms) -> tuple[pl.Series, pl.Series]:
    """(0 and 1, which are neither): words that the user told, then true and false, then numbers."""
    words = {"true": "1", "false": "0"} | {str(word).strip().lower(): str(meaning) for word, meaning in forms.labels.items()}
    said = cells.str.strip_chars().str.to_lowercase()
    if forms.labels:
        # A file may say 1.0 where the user said 1.
        said = said.str.replace(r"^([+-]?\d+)\.0+$", "$1")
    values = said.replace(words).cast(pl.Float64, strict=False)
    return values, ~values.is_in([0.0, 1.0]).fill_null(False)


def _numbers(cells: pl.Series, forms: Forms) -> tuple[pl.Series, pl.Series]:
    text = cells.str.strip_chars()
    if forms.decimal == ",":
        # A point would be a thousand's here, or a mistake: it is no number.
        text = text.set(text.str.contains(".", literal=True).fill_null(False), None).str.replace(",", ".", literal=True)
    values = text.cast(pl.Float64, strict=False)
    return values, ~values.is_finite().fill_null(False)


def _tidy_ids(cells: pl.Series, report: DataReport) -> tuple[pl.Series, pl.Series]:
    """(ids without white space around them, which are none)."""
    values = cells.str.strip_chars()
    bad = values.is_null() | (values.fill_null("") == "") | cells.str.contains("\0", literal=True).fill_null(False)
    report.decide("ids with white space around them, trimmed", int(((values != cells) & ~bad).sum()))
    report.decide("ids with line breaks in them, kept (or is a quote not closed?)", int((values.str.contains(r"[\r\n]") & ~bad).sum()))
    return values, bad
