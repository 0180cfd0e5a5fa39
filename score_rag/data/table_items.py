"""The catalogue's file of the source `table`: delimited, Parquet or JSON, into text cells and lists."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from score_rag.data.attributes import Attributes
from score_rag.data.json_lines import cell_text, objects
from score_rag.data.mistakes import Mistakes, shown
from score_rag.data.parquet import as_text, collect_parquet, require_kinds, unreadable_kinds
from score_rag.data.report import DataReport
from score_rag.data.words import LISTS, WORDS, words_of

__all__ = ["json_items", "parquet_items"]

_OPTIONAL = ("year", *LISTS)


def parquet_items(file: Path, columns: Mapping[str, str], report: DataReport, *, strict: bool) -> pl.DataFrame:
    """The items of a Parquet file; without `strict`, optional columns of a kind that cannot be read are left out."""
    frame = collect_parquet(file, columns)
    for name in LISTS:
        kind = frame.schema.get(name)
        if isinstance(kind, pl.List | pl.Array) and isinstance(kind.inner, pl.Struct | pl.List | pl.Array):
            frame = frame.with_columns(pl.Series(name, [words_of(cell) for cell in frame[name].to_list()], dtype=WORDS))
    lost = [] if strict else [name for name in unreadable_kinds(frame, LISTS) if name in _OPTIONAL]
    for name in lost:
        report.warn(f"{file.name} (column {columns[name]}) is of a kind that cannot be read ({frame.schema[name]}): {name} stay unknown")
    frame = frame.drop(lost)
    require_kinds(frame, file, columns, lists=LISTS)
    return as_text(frame, report)


def json_items(file: Path, columns: Mapping[str, str], mistakes: Mistakes, report: DataReport, *, strict: bool) -> pl.DataFrame:
    """The items of a JSON file. A list, of texts or of objects with names, is one; other nested values are unknown, or mistakes."""
    rows: list[dict[str, Any]] = []
    odd: dict[str, list[tuple[int, str | None]]] = {name: [] for name in _OPTIONAL}
    for line, found in objects(file, mistakes=mistakes):
        row: dict[str, Any] = {"_line": line}
        for name, theirs in columns.items():
            cell = found.get(theirs)
            if name in LISTS and isinstance(cell, list):
                row[name] = [text for text in map(cell_text, words_of(cell) or []) if text]
            elif name in LISTS and isinstance(cell, dict) and words_of([cell]):
                row[name] = words_of([cell])
            elif not isinstance(cell, list | dict):
                row[name] = cell_text(cell)
            elif name in _OPTIONAL:
                odd[name].append((line, cell_text(cell)))
            else:
                mistakes.note(file.name, line, f"{theirs}: expected text, found {shown(cell_text(cell))}")
        rows.append(row)
    attributes = Attributes(file, mistakes, report, strict, dict(columns))
    for name, cells in odd.items():
        bad = pl.DataFrame(cells, schema={"_line": pl.Int64(), name: pl.String()}, orient="row")
        told = sum(row.get(name) is not None for row in rows) + len(cells)
        attributes.unknown(
            bad, pl.repeat(True, len(bad), eager=True), name, expected="text or a list" if name in LISTS else "text", told=told
        )
    return pl.DataFrame(
        [_column("_line", rows, pl.Int64()), *(_words(name, rows) if name in LISTS else _column(name, rows) for name in columns)]
    )


def _column(name: str, rows: list[dict[str, Any]], kind: Any = None) -> pl.Series:
    return pl.Series(name, [row.get(name) for row in rows], dtype=kind or pl.String())


def _words(name: str, rows: list[dict[str, Any]]) -> pl.Series:
    """Lists, where there is no text among them; otherwise texts, in which lists are as JSON writes them."""
    cells = [row.get(name) for row in rows]
    if not any(isinstance(cell, str) for cell in cells):
        return pl.Series(name, cells, dtype=WORDS)
    return pl.Series(name, [json.dumps(cell) if isinstance(cell, list) else cell for cell in cells], dtype=pl.String())
