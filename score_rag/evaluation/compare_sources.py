"""What `compare` compares: scorers of finished runs and of tables of predictions, joined on the same events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from score_rag.errors import DataError, InputError
from score_rag.evaluation.predictions import Predictions, is_predictions, read_predictions
from score_rag.evaluation.stored import find_predictions, staleness
from score_rag.pipeline.config import load_pipeline

__all__ = ["Joined", "Source", "join", "open_sources"]

_SCORE = "SCORE"
_KEYS = {"user_id": pl.String(), "item_id": pl.String(), "timestamp": pl.Int64()}


@dataclass(frozen=True)
class Source:
    """A run or a table: its rows, and the scorers of it that are compared."""

    name: str
    table: Predictions


@dataclass(frozen=True)
class Joined:
    """The events that all sources have.

    Attributes:
        users: [n] ids.
        labels: int8 [n].
        scores: By scorer, float64 [n].
        probabilities: Scorers that are P(like).
        notes: What was left out.
    """

    users: pl.Series
    labels: np.ndarray
    scores: dict[str, np.ndarray]
    probabilities: frozenset[str]
    notes: tuple[str, ...]


def open_sources(
    names: Sequence[str], *, split: str | None = None, scorers: Sequence[str] = (), overrides: Sequence[str] = ()
) -> list[Source]:
    """Read the predictions of runs (as `evaluate` stored them) and of tables.

    Args:
        names: Pipelines, or paths of tables of predictions.
        split: Of runs; each pipeline's setting by default.
        scorers: Of tables; by default SCORE where another source is given and the table has it, else every scorer.
        overrides: Of the pipelines.

    Raises:
        InputError: There is no such pipeline, nothing is stored of its split, or a scorer is not there.
        DataError: A table cannot be read.
    """
    out: list[Source] = []
    for name in names:
        if is_predictions(name):
            table = read_predictions(name, scorers=scorers)
            if not scorers and len(names) > 1 and _SCORE in table.scores:
                table = read_predictions(name, scorers=[_SCORE])
            called = Path(name).stem
        else:
            pipeline = load_pipeline(name, overrides=list(overrides))
            content, file = find_predictions(pipeline, split or pipeline.evaluation.split)
            table = read_predictions(file, scorers=[_SCORE], probabilities=[_SCORE])
            table = Predictions(table.rows, table.scores, table.probabilities, tuple(staleness(pipeline, content)))
            called = pipeline.name
        taken = [one.name for one in out]
        out.append(Source(called if called not in taken else f"{called} ({len(out) + 1})", table))
    return out


def join(sources: Sequence[Source]) -> Joined:
    """The events that all sources have, matched by user, item and (where all know it) time.

    Raises:
        InputError: There is only one scorer.
        DataError: A source does not say which items its rows are of, has an event twice, has other labels, or none of the events.
    """
    names = {
        (number, scorer): scorer if len(sources) == 1 else f"{one.name}: {scorer}" if len(one.table.scores) > 1 else one.name
        for number, one in enumerate(sources)
        for scorer in one.table.scores
    }
    if len(names) < 2:
        raise InputError("one scorer alone cannot be compared", found=", ".join(names.values()), hint="name a second run or table")
    keys = [key for key in _KEYS if key != "timestamp" or all(key in one.table.rows.columns for one in sources)]
    joined: pl.DataFrame | None = None
    for number, one in enumerate(sources):
        frame = _keyed(one, keys, number)
        joined = frame if joined is None else joined.join(frame, on=keys, how="inner", maintain_order="left")
        if not len(joined):
            first = sources[0]
            raise DataError(
                f"{first.name} and {one.name} have no event in common",
                where=", ".join(keys),
                found=f"{_shown(first, keys)}; {_shown(one, keys)}",
                hint="compare predictions of one split of the same data",
            )
    assert joined is not None
    labels = joined["label 0"].to_numpy()
    for number, one in enumerate(sources):
        if wrong := int((joined[f"label {number}"].to_numpy() != labels).sum()):
            row = joined.filter(pl.col(f"label {number}") != pl.col("label 0")).row(0, named=True)
            raise DataError(
                f"labels differ between {sources[0].name} and {one.name}",
                expected="the same label of the same event",
                found=f"{wrong:,} of {len(joined):,} events, the first of user {row['user_id']}, item {row['item_id']}",
                hint="both must call liked what the other does (data.threshold)",
            )
    scores = {}
    for (number, scorer), name in names.items():
        scores[name] = sources[number].table.scores[scorer][joined[f"row {number}"].to_numpy()]
    said = frozenset(name for (number, scorer), name in names.items() if scorer in sources[number].table.probabilities)
    notes = [f"{one.name}: {note}" for one in sources for note in one.table.notes]
    notes += [
        f"{one.name}: {len(one.table.rows) - len(joined):,} of {len(one.table.rows):,} events are not in all others; left out"
        for one in sources
        if len(one.table.rows) > len(joined)
    ]
    return Joined(joined["user_id"], labels.astype(np.int8), scores, said, tuple(notes))


def _keyed(one: Source, keys: Sequence[str], number: int) -> pl.DataFrame:
    rows = one.table.rows
    if "item_id" not in rows.columns:
        raise DataError("a table does not say which items its rows are of", where=one.name, expected="a column item_id")
    frame = rows.select(*(pl.col(key).cast(_KEYS[key]) for key in keys), pl.col("label").cast(pl.Int8).alias(f"label {number}"))
    twice = frame.select(keys).is_duplicated()
    if twice.any():
        hint = None if "timestamp" in keys else "a column timestamp in every table tells them apart"
        example = ", ".join(map(str, frame.filter(twice).select(keys).row(0)))
        raise DataError("an event occurs twice", where=one.name, found=f"{int(twice.sum()):,} rows, such as {example}", hint=hint)
    return frame.with_row_index(f"row {number}")


def _shown(one: Source, keys: Sequence[str]) -> str:
    return f"{one.name} has {', '.join(map(str, one.table.rows.select(keys).row(0)))}"
