"""Tables in the run's folder: written whole under the run's lock, each with digests of what it was made from.

A table that is shown again later says what has changed since.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl

from score_rag.data.split import require_questions
from score_rag.errors import DataError, Evaluate, InputError, LockedError, ScoreError
from score_rag.files import digest_json, folder_lock, read_json, write_json
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.stages import STAGES
from score_rag.pipeline.state import run_folder
from score_rag.pipeline.tracking import track

__all__ = ["SCORECARD", "changes_since", "find_predictions", "find_table", "made_from", "staleness", "store_table", "table_name"]

SCORECARD = "scorecard"
"""The kind of table that has no word of its own in its file's name."""
_APART = ("name", "description", "runs", "data.path", "evaluation.split", "evaluation.report_to")
"""Settings that say where things lie or are logged, or what a table's own name says: no part of what it was made from."""


def made_from(pipeline: Pipeline) -> dict[str, Any]:
    """Digests of what a table depends on: `settings`, and the content of each stage (None where it is not finished).

    `values` are the settings themselves, so that a change can be named.
    """
    values = _flat(pipeline.model_dump(mode="json"))
    values = {name: value for name, value in values.items() if name not in _APART}
    return {"settings": digest_json(values), "values": values, **{stage: _content(pipeline, stage) for stage in STAGES}}


def changes_since(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between two `made_from`, in words.

    >>> before = {"settings": "a", "values": {"seed": 1}, "data": "d", "predictor": "p"}
    >>> changes_since(before, {"settings": "b", "values": {"seed": 2}, "data": "d", "predictor": "q"})
    ['settings: seed: 1 → 2', 'predictor: another one was made since']
    """
    out = []
    if old.get("settings") != new.get("settings"):
        before, after = old.get("values", {}), new.get("values", {})
        named = [f"{key}: {before.get(key)} → {after.get(key)}" for key in sorted({*before, *after}) if before.get(key) != after.get(key)]
        out.append("settings: " + ("; ".join(named) or "changed"))
    for stage in STAGES:
        if old.get(stage) != new.get(stage):
            missing, unknown = new.get(stage) is None, old.get(stage) is None
            out.append(f"{stage}: {'it is not finished now' if missing else 'finished since' if unknown else 'another one was made since'}")
    return out


def table_name(split: str, rows: int | None, kind: str = SCORECARD) -> str:
    """The stem of a table's files; a quick look at fewer rows does not take the place of the whole.

    >>> table_name("test", None), table_name("valid", 500, "evidence")
    ('test', 'valid-evidence-500-rows')
    """
    return split + ("" if kind == SCORECARD else f"-{kind}") + ("" if rows is None else f"-{rows}-rows")


def store_table(
    pipeline: Pipeline, name: str, content: Mapping[str, Any], scores: pl.DataFrame, *, metrics: Mapping[str, float]
) -> list[str]:
    """Write `NAME.json` and `NAME.parquet` under the run's lock, and log the metrics where `evaluation.report_to` says so.

    Args:
        content: The table, `made_from` as it was before anything was scored.
        scores: The rows with a column for each scorer.
        metrics: Every value of the table by name.

    Returns:
        What a reader must know: what changed meanwhile, and where the rows are stored, or why they are not (another process writes to the
        run, its folder cannot be written to, its disk is full); the same of what was logged.
    """
    made = content["made_from"]
    told = _store(pipeline, name, content, scores)
    return told + track(pipeline, name, metrics, {"table": content["title"], "settings": made["settings"], "predictor": made["predictor"]})


def _store(pipeline: Pipeline, name: str, content: Mapping[str, Any], scores: pl.DataFrame) -> list[str]:
    told = [f"the run changed while it was evaluated: {change}" for change in changes_since(content["made_from"], made_from(pipeline))]
    written = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    out = run_folder(pipeline) / "evaluation"
    try:
        with folder_lock(run_folder(pipeline), doing=f"evaluating the pipeline {pipeline.name}"):
            out.mkdir(exist_ok=True)
            _write_parquet(out / f"{name}.parquet", scores)
            write_json(out / f"{name}.json", {**content, "notes": [*content["notes"], *told], "written": written})
    except (LockedError, DataError, OSError) as error:
        # An hour of scoring is not thrown away because it cannot be kept: the table is told, and that it was not stored.
        why = f"{error.what} ({error.found})" if isinstance(error, ScoreError) else f"{error.strerror or error} ({error.filename})"
        return [*told, f"this table was not stored: {why}"]
    return [*told, f"the prediction for each event is in {out / name}.parquet"]


def find_table(pipeline: Pipeline, split: str, rows: int | None, kind: str = SCORECARD) -> dict[str, Any]:
    """The stored table; where `rows` is None, the one of this kind and split that was written last, of however many rows.

    Raises:
        InputError: No such split, or nothing is stored.
    """
    return _find(pipeline, split, rows, kind)[0]


def find_predictions(pipeline: Pipeline, split: str) -> tuple[dict[str, Any], Path]:
    """(the scorecard of a split that was stored last, the file of its predictions).

    Raises:
        InputError: No such split, or nothing is stored.
    """
    table, file = _find(pipeline, split, None, SCORECARD)
    return table, file.with_suffix(".parquet")


def _find(pipeline: Pipeline, split: str, rows: int | None, kind: str) -> tuple[dict[str, Any], Path]:
    require_questions(split)
    out = run_folder(pipeline) / "evaluation"
    first = table_name(split, None, kind)
    names = [first, *(file.stem for file in sorted(out.glob(f"{first}-*-rows.json")))] if rows is None else [table_name(split, rows, kind)]
    files = [out / f"{name}.json" for name in names]
    found = [(table, file) for file in files if (table := _read(file)) is not None and table.get("kind", SCORECARD) == kind]
    if not found:
        error = InputError(
            f"no table of the {split} split is stored" + (f" ({kind})" if kind != SCORECARD else ""),
            where=out,
            remedy=Evaluate(split, kind),
        )
        error.pipeline = pipeline.words
        raise error
    return max(found, key=lambda one: str(one[0].get("written", "")))


def staleness(pipeline: Pipeline, table: Mapping[str, Any]) -> list[str]:
    """Notes on a stored table: when it was written, and what it no longer is of."""
    written = table.get("written", "at an unknown time")
    if not table.get("made_from"):
        return [f"stored {written} by an older version: what it was made from is unknown"]
    changes = changes_since(table["made_from"], made_from(pipeline))
    return [f"stored {written}; nothing has changed since"] if not changes else [f"STALE, stored {written}: {change}" for change in changes]


def _read(file: Path) -> dict[str, Any] | None:
    try:
        found = read_json(file)
    except DataError:
        return None
    return found if isinstance(found, dict) else None


def _write_parquet(path: Path, table: pl.DataFrame) -> None:
    aside = path.with_name(f".{path.name}.{uuid4().hex[:12]}.tmp")
    try:
        table.write_parquet(aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _content(pipeline: Pipeline, stage: str) -> str | None:
    found = _read(run_folder(pipeline) / stage / "finished.json")
    return None if found is None else found.get("content")


def _flat(tree: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in tree.items():
        out.update(_flat(value, f"{before}{name}.") if isinstance(value, dict) else {f"{before}{name}": value})
    return out
