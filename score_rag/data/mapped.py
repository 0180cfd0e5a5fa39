"""Judgements that are sorted once and mapped by every process that reads them: one copy in memory, whatever the number of processes.

A folder of arrays beside the events that they were made of. They can be made again at any time, so nothing is believed of them that cannot
be checked: a record holds digests of the events' file and of every array, and where anything is missing, torn, or of other events, there
are none. Files are never changed in place (a stage's folder is replaced as a whole), so what is mapped stays what it was.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from score_rag.data.by_item import ItemColumns
from score_rag.data.columns import EventColumns
from score_rag.data.ids import Ids
from score_rag.errors import DataError
from score_rag.files import VERIFY, changed_file, digest_file, is_whole, read_json, sealed, write_json

__all__ = ["FEWEST", "FOLDER", "Mapped", "keep_columns", "map_columns"]

FOLDER = "columns"
"""Below the events' own."""
FEWEST = 1_000_000
"""Events from which on columns are kept: fewer are sorted in a fraction of a second, and take less memory than the packages do."""
_FORMAT = 1
_RECORD = "columns.json"
_LOG = ("starts", "ends", "item", "time", "liked", "row")
_BY_ITEM = ("bounds", "user", "time", "liked", "likes", "every_time", "every_like")
_NAMES = ("log-users", "log-items", "by-item-users", "by-item-items")


@dataclass(frozen=True)
class Mapped:
    """What lay in the folder.

    Attributes:
        log: Of all splits.
        learned: Those that are learned from, of the same arrays; None where they are not the beginning of each user's.
        by_item: Those that are learned from, by item.
        facts: What else was said of the events.
        file: uint8 [bytes], the file of the events, mapped: it is this one even when another takes its place.
    """

    log: EventColumns
    learned: EventColumns | None
    by_item: ItemColumns
    facts: Mapping[str, Any]
    file: np.ndarray

    def events(self) -> pl.DataFrame:
        """The events that the columns were made of, as they were written."""
        return pl.read_parquet(self.file.tobytes())


def keep_columns(events: Path, log: EventColumns, *, learned: EventColumns | None, by_item: ItemColumns, facts: Mapping[str, Any]) -> None:
    """Write columns into the folder `columns` beside the file of the events that they were made of; the record last.

    Args:
        events: The file.
        log: As `Mapped` has it, and the others likewise.
        learned: Of the arrays of `log`, or None.
        by_item: Of what is learned from.
        facts: JSON.
    """
    folder = events.parent / FOLDER
    folder.mkdir()
    arrays = {f"log-{name}": getattr(log, name) for name in _LOG}
    arrays |= {f"by-item-{name}": np.asarray(getattr(by_item, name)) for name in _BY_ITEM}
    if learned is not None:
        arrays["learned-ends"] = learned.ends
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    ids = (log.users.names, log.items, by_item.users, by_item.items.names)
    for name, own in zip(_NAMES, ids, strict=True):
        pl.DataFrame({"id": pl.Series(own, dtype=pl.String())}).write_parquet(folder / f"{name}.parquet")
    record = {
        "format": _FORMAT,
        "events": {"bytes": events.stat().st_size, "sha256": digest_file(events)},
        "facts": dict(facts),
        "digests": {file.name: digest_file(file) for file in sorted(folder.iterdir())},
    }
    write_json(folder / _RECORD, sealed(record))


def map_columns(events: Path) -> Mapped | None:
    """The columns that `keep_columns` wrote beside a file of events, mapped and read-only; None where they are not whole, or are of others.

    `SCORE_RAG_VERIFY=0` leaves digests unread, as for all files of a run; the record, sizes and shapes are looked at all the same.
    """
    folder = events.parent / FOLDER
    record = _record(folder)
    if record is None or not _is_of(record, events, folder):
        return None
    try:
        arrays = {file: _array(folder / file) for file in record["digests"] if file.endswith(".npy")}
        names = {name: pl.read_parquet(folder / f"{name}.parquet")["id"] for name in _NAMES}
        log = EventColumns(Ids(names["log-users"]), names["log-items"].to_list(), *(arrays[f"log-{name}.npy"] for name in _LOG))
        by_item = {name: arrays[f"by-item-{name}.npy"] for name in _BY_ITEM}
        own: dict[str, Any] = {name: array if name in ("user", "liked") else array.data for name, array in by_item.items()}
        ends = arrays.get("learned-ends.npy")
        mapped = Mapped(
            log,
            None if ends is None else log.until(ends),
            ItemColumns(Ids(names["by-item-items"]), names["by-item-users"].to_list(), **own),
            record["facts"],
            np.asarray(np.memmap(events, dtype=np.uint8, mode="r")),
        )
    except (OSError, ValueError, KeyError, pl.exceptions.PolarsError):
        return None
    # Another stage may have been moved here meanwhile: then some arrays may be of other events.
    return mapped if _fits(mapped) and _record(folder) == record else None


def _record(folder: Path) -> dict[str, Any] | None:
    try:
        found = read_json(folder / _RECORD)
    except DataError:
        return None
    return found if isinstance(found, dict) and is_whole(found) and found.get("format") == _FORMAT else None


def _is_of(record: Mapping[str, Any], events: Path, folder: Path) -> bool:
    try:
        if record["events"]["bytes"] != events.stat().st_size:
            return False
        if os.environ.get(VERIFY) == "0":
            return True
        own = changed_file(events.parent, {events.name: record["events"]["sha256"]})
        return own is None and changed_file(folder, record["digests"]) is None
    except (OSError, KeyError, TypeError):
        return False


def _array(file: Path) -> np.ndarray:
    """Mapped; as a plain array, whose single cells are read three times as fast as those of `np.memmap`."""
    return np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))


def _fits(mapped: Mapped) -> bool:
    """Whether lengths agree, so that no look-up can leave an array."""
    log, by_item = mapped.log, mapped.by_item
    rows, users = {len(getattr(log, name)) for name in _LOG[2:]}, {len(log.starts), len(log.ends), len(log.users)}
    judged = {len(by_item.user), len(by_item.liked), len(by_item.time), len(by_item.every_time)}
    likes = {len(by_item.likes), len(by_item.every_like), *(count + 1 for count in judged)}
    return [len(found) for found in (rows, users, judged, likes)] == [1] * 4 and len(by_item.bounds) == len(by_item.items) + 1
