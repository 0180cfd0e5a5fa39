"""A table of predictions: one row an event, with ids, label, and a column for each scorer; written by `evaluate`, or by any other system.

| column | |
|---|---|
| `user_id`, `label` | needed; `label` is 0 or 1 |
| `item_id`, `timestamp` | which event of the user's; needed to join tables |
| `user_events`, `item_events` | training events of the user and of the item: rows are reported by them |
| `neighbours` | other users told in the prompt: rows are reported with and without |
| `event`, `split`, `sampled`, `made_from` | not read |
| every other column of numbers | a scorer |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import polars as pl

from score_rag.errors import DataError, InputError, did_you_mean
from score_rag.files import digest_json
from score_rag.metrics.probability import are_probabilities

__all__ = [
    "FACTS",
    "SUFFIXES",
    "Predictions",
    "check_target",
    "is_predictions",
    "predictions_frame",
    "read_predictions",
    "write_predictions",
]

SUFFIXES = (".parquet", ".csv", ".tsv")
FACTS = ("user_events", "item_events", "neighbours")
"""What is known of a row beside its event: integers."""
_IDS = ("user_id", "item_id")
_RESERVED = (*_IDS, "timestamp", "label", *FACTS, "event", "split", "sampled", "made_from")


@dataclass(frozen=True)
class Predictions:
    """A table that was read.

    Attributes:
        rows: `user_id`, `label`, and of `item_id`, `timestamp` and `FACTS` what the table has.
        scores: By scorer, float64 [rows].
        probabilities: Scorers whose scores are taken as P(like).
        notes: How the table was read.
    """

    rows: pl.DataFrame
    scores: Mapping[str, np.ndarray]
    probabilities: frozenset[str]
    notes: tuple[str, ...]


def is_predictions(source: str) -> bool:
    """Whether a source is named like a table of predictions, rather than like a pipeline.

    >>> is_predictions("scores.parquet"), is_predictions("pipelines/sample.yaml")
    (True, False)
    """
    return Path(source).suffix.lower() in SUFFIXES


def predictions_frame(
    events: pl.DataFrame, scores: Mapping[str, np.ndarray], facts: Mapping[str, np.ndarray], made_from: Mapping[str, Any]
) -> pl.DataFrame:
    """Events with facts, scorers and the digest of what they were made from.

    Raises:
        InputError: A scorer is called like one of the other columns.
    """
    taken = sorted(set(scores) & set(_RESERVED))
    if taken:
        raise InputError("a scorer is called like a column of the table", found=", ".join(taken))
    facts_ = [pl.Series(name, value, dtype=pl.Int64) for name, value in facts.items()]
    digest = digest_json(dict(made_from))[:16]
    return events.with_columns(*facts_, *(pl.Series(name, value) for name, value in scores.items()), pl.lit(digest).alias("made_from"))


def check_target(path: Path | str) -> Path:
    """Where a table is to be written, before hours are spent on it.

    Raises:
        InputError: The ending is not known, or there is no such folder.
    """
    path = _known_suffix(path)
    if not path.parent.is_dir():
        raise InputError("there is no such folder", where=path.parent, hint="make it first")
    return path


def write_predictions(frame: pl.DataFrame, path: Path | str) -> None:
    """Write a table by its ending, aside and then moved.

    Raises:
        InputError: The ending is not known, or there is no such folder.
    """
    path = check_target(path)
    aside = path.with_name(f".{path.name}.{uuid4().hex[:12]}.tmp")
    try:
        if path.suffix.lower() == ".parquet":
            frame.write_parquet(aside)
        else:
            frame.write_csv(aside, separator=_separator(path))
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def read_predictions(path: Path | str, *, scorers: Sequence[str] = (), probabilities: Sequence[str] = ()) -> Predictions:
    """Read a table.

    Args:
        scorers: Columns to read as scorers; by default every column of numbers that has no other meaning.
        probabilities: Those that are P(like); by default those whose scores all lie between 0 and 1.

    Raises:
        InputError: The ending is not known, or the file or a column that is named is not there.
        DataError: The file is broken, lacks a column, or has labels or scores that cannot be used.
    """
    path = _known_suffix(path)
    columns = _columns(path)
    names = list(columns)
    # Of no rows, CSV does not tell the kinds of its columns either.
    if columns and not len(_read(path, names[:1], most=1)):
        raise DataError("a table of predictions has no rows", where=path)
    for name in ("user_id", "label"):
        if name not in columns:
            raise DataError(
                "a table of predictions lacks a column",
                where=path,
                expected=f"{name} (0 or 1)" if name == "label" else name,
                found=", ".join(names[:12]),
                hint="rename the column that means it",
            )
    for name in (*scorers, *probabilities):
        if name not in columns or name in _RESERVED:
            choices = [one for one in names if one not in _RESERVED]
            raise InputError(f"the table has no scorer {name!r}", where=path, hint=did_you_mean(name, choices))
    free = [name for name in names if name not in _RESERVED]
    chosen = list(dict.fromkeys(scorers)) or [name for name in free if columns[name].is_numeric()]
    strange = [name for name in scorers if not columns[name].is_numeric()]
    if strange or not chosen:
        raise DataError(
            "a scorer is not a column of numbers" if strange else "the table has no scorer",
            where=path,
            expected="a column of numbers beside user_id and label",
            found=", ".join(f"{name} ({columns[name]})" for name in (strange or free or names)),
        )
    rows = [name for name in (*_IDS, "timestamp", "label", *FACTS) if name in columns]
    frame = _read(path, [*rows, *chosen])
    _check(frame, rows, chosen, path)
    scores = {name: frame[name].cast(pl.Float64).to_numpy() for name in chosen}
    said = frozenset(probabilities) or frozenset(name for name, values in scores.items() if are_probabilities(values))
    notes = [f"predictions of {path}"]
    if said and not probabilities:
        notes.append(f"taken as probabilities, because all lie between 0 and 1: {', '.join(name for name in chosen if name in said)}")
    if ignored := [name for name in free if name not in chosen]:
        notes.append(f"columns not read: {', '.join(ignored)}")
    return Predictions(frame.select(rows), scores, said, tuple(notes))


def _check(frame: pl.DataFrame, rows: Sequence[str], scorers: Sequence[str], path: Path) -> None:
    """Every mistake of the table at once."""
    wrong = []
    label = frame["label"]
    if label.dtype == pl.Boolean or not label.dtype.is_numeric():
        wrong.append(f"label: a column of 0 and 1, not {label.dtype}")
    elif bad := int((~label.is_in([0, 1])).fill_null(True).sum()):
        wrong.append(f"label: {bad:,} values that are not 0 or 1")
    for name in rows:
        if name != "label" and (count := frame[name].null_count()):
            wrong.append(f"{name}: {count:,} empty values")
    for name in scorers:
        # Finite is neither empty, nor NaN, nor infinite.
        if count := len(frame) - int(frame[name].cast(pl.Float64).is_finite().fill_null(False).sum()):
            place = int((~frame[name].cast(pl.Float64).is_finite().fill_null(False)).arg_max() or 0)
            wrong.append(f"{name}: {count:,} scores that are no finite numbers, the first in row {place + 1:,}")
    if wrong:
        raise DataError("a table of predictions cannot be scored", where=path, found="; ".join(wrong))


def _known_suffix(path: Path | str) -> Path:
    if not is_predictions(str(path)):
        raise InputError("a table of predictions is known by its ending", where=path, expected=", ".join(SUFFIXES))
    return Path(path)


def _columns(path: Path) -> Mapping[str, pl.DataType]:
    """Names and kinds of its columns."""
    if not path.is_file():
        raise InputError("there is no such table of predictions", where=path)
    return dict(_scan(path).collect_schema()) if path.stat().st_size else {}


def _read(path: Path, columns: list[str], *, most: int | None = None) -> pl.DataFrame:
    try:
        found = _scan(path).select(columns)
        return (found if most is None else found.head(most)).collect()
    except pl.exceptions.PolarsError as error:
        raise DataError("a table of predictions cannot be read", where=path, found=str(error).splitlines()[0]) from error


def _scan(path: Path) -> pl.LazyFrame:
    try:
        if path.suffix.lower() == ".parquet":
            found = pl.scan_parquet(path)
        else:
            # Ids are names: "007" is not 7.
            found = pl.scan_csv(path, separator=_separator(path), infer_schema_length=10_000)
            ids = {name: pl.String() for name in _IDS if name in found.collect_schema().names()}
            found = pl.scan_csv(path, separator=_separator(path), infer_schema_length=10_000, schema_overrides=ids)
        found.collect_schema()
    except (pl.exceptions.PolarsError, UnicodeError) as error:
        raise DataError("a table of predictions cannot be read", where=path, found=str(error).splitlines()[0]) from error
    return found


def _separator(path: Path) -> str:
    return "\t" if path.suffix.lower() == ".tsv" else ","
