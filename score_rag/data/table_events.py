"""The events' file of the source `table`: by its types where they can be trusted, carefully where not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import polars as pl

from score_rag.data.forms import Forms
from score_rag.data.mistakes import Mistakes
from score_rag.data.parquet import as_text, collect_parquet, require_kinds
from score_rag.data.report import DataReport
from score_rag.data.table import EVENT_TYPES, is_plain, parse_events
from score_rag.data.times import epochs, whole_seconds
from score_rag.data.whole_ids import DECIMAL

__all__ = ["parquet_events"]


def parquet_events(file: Path, columns: Mapping[str, str], mistakes: Mistakes, report: DataReport, forms: Forms) -> pl.DataFrame:
    """The events of a Parquet file; see `delimited.read_delimited_events`."""
    frame = collect_parquet(file, columns)
    require_kinds(frame, file, columns, lists=())
    report.rows_read += len(frame)
    told = frame.schema.get("timestamp")
    if told is not None and told.is_temporal():
        # These are times already, whatever form was told.
        report.decide("times read as dates", len(frame) - frame["timestamp"].null_count())
        frame = frame.with_columns(timestamp=epochs(frame["timestamp"], forms.time_zone))
        forms = forms.in_seconds()
    if frame.schema.get("rating", pl.String()).is_numeric():
        forms = replace(forms, decimal=".")
    quick = _typed(frame) if forms.quick(columns) else None
    name = columns.get("timestamp")
    plain = quick is not None and is_plain(quick)
    seconds = whole_seconds(quick, report, file=file, forms=forms, called=name) if quick is not None and plain else None
    if seconds is None:
        return parse_events(as_text(frame, report), file=file, mistakes=mistakes, report=report, called=columns, forms=forms)
    for name in ("user_id", "item_id"):
        report.decide(DECIMAL, len(frame) if frame.schema[name].is_float() else 0)
    return seconds


def _typed(frame: pl.DataFrame) -> pl.DataFrame | None:
    """A Parquet file's events with their types; None where some column needs more care than a cast."""
    out = []
    for name, kind in frame.schema.items():
        cells = pl.col(name)
        if EVENT_TYPES[name] == pl.Categorical():
            whole = kind.is_float() and bool(((frame[name] == frame[name].floor()) & (frame[name].abs() < 2**53)).all())
            if not (kind.is_integer() or whole or kind in (pl.String, pl.Categorical, pl.Enum)):
                return None
            out.append((cells.cast(pl.Int64) if whole else cells).cast(pl.String()).cast(pl.Categorical()))
        elif (name == "timestamp" and not kind.is_integer()) or not (kind.is_numeric() or kind == pl.Boolean()):
            return None
        else:
            out.append(cells.cast(EVENT_TYPES[name], strict=False))
    return frame.select(out)
