"""TALLRec's files: each row an instruction with a preference, an unpreference and a question about one item, answered Yes or No."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from score_rag.data.catalogue import tidy_items
from score_rag.data.folders import not_here
from score_rag.data.mistakes import Mistakes, require_rows, shown
from score_rag.data.report import DataReport
from score_rag.data.table import EVENT_TYPES
from score_rag.errors import DataError

__all__ = ["read_tallrec", "tallrec_files"]

_SPLITS = ("train", "valid", "test")
_TEXT = re.compile(
    r"User Preference:(?P<liked>.*?)\s*User Unpreference:(?P<disliked>.*?)"
    r"\s*Whether the user will like the target \w+(?P<target>.*?)\?\s*$",
    re.DOTALL,
)
# Titles stand in quotes, may hold some themselves, and a book's is followed by who wrote it.
_ITEM = re.compile(r'"(?P<title>.+?)"(?: written by (?P<author>.+?))?\s*(?=,\s*"|$)', re.DOTALL)
_ANSWERS = {"yes": 1.0, "no": 0.0}


class _Named(NamedTuple):
    title: str
    author: str | None

    @property
    def item_id(self) -> str:
        return self.title if self.author is None else f"{self.title} written by {self.author}"


def tallrec_files(folder: Path) -> list[Path]:
    """train.json, valid.json and test.json, those that are there.

    Raises:
        DataError: train.json is missing.
    """
    files = [folder / f"{split}.json" for split in _SPLITS if (folder / f"{split}.json").is_file()]
    if not files or files[0].stem != "train":
        raise not_here("this folder holds no TALLRec data", folder, "train.json, valid.json and test.json", folder=folder)
    return files


def read_tallrec(folder: Path, *, report: DataReport) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(events, items). The files name no users and no times: each row is a user (`train-1`), whose preference comes first, then the
    unpreference, then the item in question.

    What is told of a user is known before the question, so it is train in every file; the question is of the file's split.

    Raises:
        DataError: A file is missing, no JSON array, or has rows of another form.
    """
    mistakes = Mistakes()
    rows: list[tuple[str, str, float, str]] = []
    items: dict[str, _Named] = {}
    for file in tallrec_files(folder):
        for number, found in _objects(file):
            told = _told(found)
            if isinstance(told, str):
                mistakes.note(file.name, number, told)
                continue
            *before, question = told
            user = f"{file.stem}-{number}"
            rows += [(user, item.item_id, label, "train") for item, label in before]
            rows.append((user, question[0].item_id, question[1], file.stem))
            items.update((item.item_id, item) for item, _ in told)
    mistakes.settle(folder)
    report.rows_read += len(rows)
    report.decide("rows of instructions, each read as one user", len({row[0] for row in rows}))
    names = ("user_id", "item_id", "label", "split")
    events = pl.DataFrame(
        rows, schema={"user_id": pl.String(), "item_id": pl.String(), "label": pl.Float64(), "split": pl.String()}, orient="row"
    )
    require_rows(events, where=folder)
    known = [(place, name, item.title, [item.author] if item.author else []) for place, (name, item) in enumerate(items.items(), start=1)]
    schema = {"_line": pl.Int64(), "item_id": pl.String(), "title": pl.String(), "creators": pl.List(pl.String())}
    catalogue = tidy_items(pl.DataFrame(known, schema=schema, orient="row"), file=folder / "train.json", mistakes=mistakes, report=report)
    mistakes.settle(folder)
    return events.select(pl.col(name).cast(EVENT_TYPES[name]) for name in names), catalogue


def _objects(file: Path) -> Iterator[tuple[int, Any]]:
    """(number of the row, row) of a JSON array."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError("a data file cannot be read", where=file, expected="a JSON array", found=shown(str(error))) from error
    if not isinstance(found, list):
        raise DataError(
            "a data file is no JSON array", where=file, expected="[{instruction, input, output}, ...]", found=type(found).__name__
        )
    yield from enumerate(found, start=1)


def _told(found: Any) -> list[tuple[_Named, float]] | str:
    """Items with labels, the question last; or what is wrong."""
    if not isinstance(found, dict) or not isinstance(found.get("input"), str):
        return f"expected an object with instruction, input and output, found {shown(json.dumps(found))}"
    answer = _ANSWERS.get(str(found.get("output", "")).strip().rstrip(".").lower())
    if answer is None:
        return f"output: expected Yes. or No., found {shown(str(found.get('output')))}"
    parts = _TEXT.search(found["input"])
    if parts is None:
        return f"input: expected User Preference, User Unpreference and a question, found {shown(found['input'])}"
    target = _named(parts["target"])
    if len(target) != 1:
        return f"input: expected one target in quotes, found {shown(parts['target'])}"
    return [*((item, 1.0) for item in _named(parts["liked"])), *((item, 0.0) for item in _named(parts["disliked"])), (target[0], answer)]


def _named(text: str) -> list[_Named]:
    return [_Named(one["title"].strip(), one["author"].strip() if one["author"] else None) for one in _ITEM.finditer(text.strip())]
