"""All parts of a folder as one Parquet file, in the order of the input."""

from __future__ import annotations

from pathlib import Path

from score_rag.errors import DataError, InputError
from score_rag.progress import Report, silent
from score_rag.shards.check import ShardsReport, check_shards, shards_of
from score_rag.shards.columns import put_sorted

__all__ = ["merge_shards", "require_whole"]


def merge_shards(output: Path | str, file: Path | str, *, errors: Path | str | None = None, report: Report = silent) -> ShardsReport:
    """Check all shards, then write them as one; a batch of each part is held at a time.

    Args:
        output: The folder of the shards.
        file: The file to write. Rows that failed are not in it.
        errors: Where to write the rows that failed; no such file is written where none did.

    Raises:
        DataError: A shard is missing or was changed, or a row is not there exactly once.
        InputError: The file is in the folder of the shards.
    """
    output, file, errors = Path(output), Path(file), None if errors is None else Path(errors)
    if inside := next((one for one in (file, errors) if one is not None and one.resolve().parent == output.resolve()), None):
        raise InputError("a merged file lies outside the folder of its shards", where=inside)
    found = require_whole(output, report=report)
    shards = shards_of(output)
    report("merging", 0, 1)
    _write(file, [output / shard.part for shard in shards])
    failed = [path for path in (output / shard.errors for shard in shards) if path.is_file()]
    if errors is not None and failed:
        _write(errors, failed)
    report("merging", 1, 1)
    return found


def require_whole(output: Path, *, report: Report = silent) -> ShardsReport:
    """Check all shards.

    Raises:
        DataError: A shard is missing or was changed, or a row is not there exactly once.
    """
    found = check_shards(output, report=report)
    if not found.ok:
        first = next(iter(found.faults.items()), None)
        told = [f"{found.done} of {found.shards} shards", *([f"shard {first[0]}: {first[1]}"] if first else [])]
        told += [f"{found.missing:,} rows missing"] if found.missing else []
        told += [f"{found.twice:,} rows twice"] if found.twice else []
        raise DataError("the shards are not complete", where=output, expected="every row once", found=", ".join(told))
    return found


def _write(file: Path, parts: list[Path]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    put_sorted(file, parts)
