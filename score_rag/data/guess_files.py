"""A pipeline's `data` section for files that nobody has described: looked at, guessed, and every assumption said."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from score_rag.data.guess_columns import guess_columns
from score_rag.data.report import DataReport
from score_rag.data.sniff import Sniffed, sniff
from score_rag.data.sources import SOURCES, read_source, source_files
from score_rag.errors import DataError, InputError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Guess", "guess_files"]

_LARGE = 300_000_000
"""Bytes above which a file is not read whole to see whether it is of a published form."""


@dataclass(frozen=True)
class Guess:
    """What files seem to be.

    Attributes:
        name: For a pipeline.
        settings: The `data` section.
        assumed: What was assumed, a line each.
    """

    name: str
    settings: dict[str, Any]
    assumed: list[str] = field(default_factory=list)

    def to_yaml(self) -> str:
        """A pipeline file: what was assumed as comments, then name and `data`."""
        said = "".join(f"# {line}\n" for line in self.assumed)
        return said + yaml.safe_dump({"name": self.name, "data": self.settings}, sort_keys=False, allow_unicode=True, width=120)


def guess_files(files: Sequence[Path | str]) -> Guess:
    """The settings with which files can be read.

    Args:
        files: Of events, and of items where there is one; or the one folder that holds them.

    Raises:
        InputError: No file, one that is not there, more than two that are of no published form, or files of different folders.
        DataError: A file is of no form that is known, or no column says who judged what.
    """
    if not files:
        raise InputError("there is nothing to look at", expected="a file of events, and one of items where there is one")
    paths = [Path(file).expanduser() for file in files]
    folder = paths[0] if paths[0].is_dir() else paths[0].parent
    if any((path if path.is_dir() else path.parent) != folder for path in paths):
        raise InputError("these files lie in different folders", expected="files of one folder", found=", ".join(map(str, paths)))
    given = [path for path in paths if not path.is_dir()]
    lost = next((path for path in given if not path.is_file()), None)
    if lost is not None:
        raise InputError("a data file is missing", where=lost)
    name = re.sub(r"[^a-z0-9]+", "-", folder.absolute().name.lower()).strip("-") or "mine"
    published = _published(folder, given)
    if published is not None:
        source = published["source"]
        return Guess(name, published, [f"read whole as source {source}: {SOURCES[source].about}"])
    return _table(name, folder, given or _two(folder))


def _published(folder: Path, given: Sequence[Path]) -> dict[str, Any] | None:
    """The settings of a published form that reads these files; None where there is none."""
    for name in SOURCES.names():
        source = SOURCES[name]
        if name == "table" or not source.needs_folder:
            continue
        # A folder may hold more than the one file that is meant.
        tries: list[dict[str, Any]] = [
            {},
            *([{"interactions": given[0].name}] if "interactions" in source.takes and len(given) == 1 else []),
        ]
        for named in tries:
            try:
                files = source_files(name, folder, **named)
                if not set(given) <= set(files) or sum(file.stat().st_size for file in files) > _LARGE:
                    continue
                events, _ = read_source(name, folder, report=DataReport(name), **named)
            except (DataError, InputError):
                continue
            return {"source": name, "path": str(folder), **named, **_shape(events)}
    return None


def _shape(events: pl.DataFrame) -> dict[str, Any]:
    """Settings that follow from what a published form has and has not."""
    out: dict[str, Any] = {}
    if "split" in events.columns:
        out["split"] = "column"
    elif "timestamp" not in events.columns:
        out["split"] = "leave-last-out"
    if not {"rating", "label"} & set(events.columns):
        out["negatives"] = 1
    elif "rating" in events.columns and float(str(events["rating"].max())) == 10:
        out["threshold"] = 7.0
    return out


def _two(folder: Path) -> list[Path]:
    known = (".csv", ".tsv", ".dat", ".txt", ".json", ".jsonl", ".ndjson", ".parquet")
    found = sorted(file for file in folder.iterdir() if file.is_file() and file.name.removesuffix(".gz").endswith(known))
    if not 1 <= len(found) <= 2:
        raise InputError(
            "it is not clear which files hold events and items",
            where=folder,
            expected="one or two files of data",
            found=", ".join(file.name for file in found[:8]) or "none",
            hint="name the file of events first, then the file of items",
        )
    return found


def _table(name: str, folder: Path, given: Sequence[Path]) -> Guess:
    if len(given) > 2:
        raise InputError(
            "these files are of no published form", expected="one file of events and one of items", found=f"{len(given)} files"
        )
    looked = [sniff(file) for file in given]
    columns = [guess_columns(one) for one in looked]
    judged = [place for place, found in enumerate(columns) if {"user_id", "item_id"} <= found.events.keys()]
    if not judged:
        raise DataError(
            "no column says who judged what",
            where=given[0],
            expected="a column of users and a column of items",
            found="; ".join(f"{one.file.name}: {', '.join(one.names)}"[:200] for one in looked),
        )
    # Of two files with users, the one with more of what an event has.
    first = max(judged, key=lambda place: len(columns[place].events))
    second = next((place for place in range(len(given)) if place != first), first)
    events, items = looked[first], looked[second]
    settings: dict[str, Any] = {"source": "table", "path": str(folder), "interactions": events.file.name}
    said = [*columns[first].said]
    alone = second == first
    told = columns[second].items
    if alone and "title" not in told:
        said.append("no file of items was given: items are known by their ids, without titles and genres")
    else:
        settings["items"] = items.file.name
    settings |= _writing(events, items if "items" in settings else None, said)
    settings["columns"] = _differing(columns[first].events, events.header)
    if "items" in settings:
        settings["item_columns"] = _differing(told, items.header)
        said += columns[second].item_notes
    settings |= columns[first].settings | ({"list_separator": columns[second].list_separator} if columns[second].list_separator else {})
    return Guess(name, {key: value for key, value in settings.items() if value != {}}, said)


def _differing(columns: dict[str, str], header: bool) -> dict[str, str | int]:
    """Our names to the file's (or to numbers, where it has no header), of those that differ."""
    return {ours: theirs if header else int(theirs) for ours, theirs in columns.items() if ours != theirs}


def _writing(events: Sniffed, items: Sniffed | None, said: list[str]) -> dict[str, Any]:
    """Separator, quotes, encoding and header, where they are other than a file's name says; by file where the two differ."""
    files = {"interactions": events} | ({"items": items} if items is not None else {})
    out: dict[str, Any] = {}
    for setting in ("separator", "encoding", "header", "quote"):
        values = {word: _value(one, setting) for word, one in files.items()}
        usual = {word: _usual(one, setting) for word, one in files.items()}
        if values == usual:
            continue
        out[setting] = next(iter(values.values())) if len(set(values.values())) == 1 else values
        for word, value in values.items():
            if value != usual[word]:
                said.append(f"{files[word].file.name}: {_WORDS[setting]} {value!r}" if setting != "header" else _unnamed(files[word]))
    return out


_WORDS = {"separator": "cells are separated by", "encoding": "the encoding seems to be", "quote": "quotes around cells:"}


def _unnamed(one: Sniffed) -> str:
    shown = ", ".join(f"{name} {cell!r}" for name, cell in zip(one.names, one.rows[0], strict=True))
    return f"{one.file.name}: no header, columns by number: {shown}"[:300]


def _value(one: Sniffed, setting: str) -> Any:
    if one.form != "delimited":
        return _usual(one, setting)
    return {"separator": one.separator, "encoding": one.encoding, "header": one.header, "quote": '"' if one.quoted else "none"}[setting]


def _usual(one: Sniffed, setting: str) -> Any:
    tabbed = one.file.name.removesuffix(".gz").endswith((".tsv", ".tab"))
    bare = tabbed or one.file.name.removesuffix(".gz").endswith(".dat") or one.separator == "::"
    quote = "none" if bare else '"'
    # Quotes that no cell has are none, and need no setting.
    if one.form == "delimited" and not any('"' in cell for row in one.rows for cell in row):
        quote = '"' if one.quoted else "none"
    return {"separator": "\t" if tabbed else ",", "encoding": "utf-8", "header": True, "quote": quote}[setting]
