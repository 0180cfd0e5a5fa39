"""What a finished shard says of itself, `part-00003-of-00016.json`: written last, so that where it is, the shard is done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from score_rag.errors import DataError
from score_rag.files import digest_file, read_json
from score_rag.shards.shard import Shard

__all__ = ["Record", "faults", "read_record", "stored_record"]


@dataclass(frozen=True)
class Record:
    """A finished shard.

    Attributes:
        fingerprint: Of the job.
        rows: Of the input that are this shard's.
        failed: Of these, without a result.
        seconds: Of the call that finished it.
        files: By name, `sha256` and `bytes`.
    """

    fingerprint: str
    shard: str
    rows: int
    failed: int
    seconds: float
    files: dict[str, dict[str, Any]]


def read_record(output: Path, shard: Shard, fingerprint: str) -> Record | None:
    """The record of a shard that is done, and whose files are what it says; None where it has to be done (again)."""
    return None if faults(output, shard, fingerprint) else stored_record(output, shard)


def faults(output: Path, shard: Shard, fingerprint: str) -> str:
    """What is wrong with a shard; empty where nothing is."""
    if not (output / shard.record).is_file():
        return "not done"
    try:
        record = stored_record(output, shard)
    except DataError as error:
        return error.what
    if record.fingerprint != fingerprint or record.shard != str(shard):
        return "its record is another job's"
    for name, facts in record.files.items():
        file = output / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != facts["bytes"] or digest_file(file) != facts["sha256"]:
            return f"{name} was changed"
    return ""


def stored_record(output: Path, shard: Shard) -> Record:
    """The record of a shard as it is written, whether or not its files are what it says.

    Raises:
        DataError: It is not there, or of another form.
    """
    file = output / shard.record
    found = read_json(file)
    try:
        record = Record(**found)
        whole = shard.part in record.files and (not record.failed or shard.errors in record.files)
        whole = whole and all({"sha256", "bytes"} <= facts.keys() for facts in record.files.values())
    except (TypeError, AttributeError):
        whole = False
    if not whole:
        raise DataError("its record is of another form", where=file)
    return record
