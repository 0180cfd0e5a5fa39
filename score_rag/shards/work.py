"""One shard, from its rows to its part: resumed where it stood, written aside, recorded last."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from score_rag.errors import InputError
from score_rag.files import digest_file, folder_lock, full_disk, write_json, write_text
from score_rag.progress import Report, silent
from score_rag.shards.columns import put_parquet, put_sorted
from score_rag.shards.job import Job
from score_rag.shards.manifest import MANIFEST, claim
from score_rag.shards.plan import Plan, make_plan, require_unique
from score_rag.shards.record import Record, read_record
from score_rag.shards.shard import Shard
from score_rag.shards.sorted import group_rows
from score_rag.shards.source import INPUT_ROW

__all__ = ["BATCH_ROWS", "CHECKPOINT", "REASON", "Done", "run_shard"]

BATCH_ROWS = 256
CHECKPOINT = 30.0
REASON = "reason"
_HELD = 65_536
"""Rows in memory before they are written, at most."""
_CHECKED_WHOLE = 10_000_000
"""Rows whose ids are checked before the first shard begins; of more, each shard checks its own."""


@dataclass(frozen=True)
class Done:
    """A shard that is done.

    Attributes:
        rows: Of the input that are this shard's, those that failed among them.
        failed: Rows without a result.
        part: The file of results.
        errors: The file of rows that failed; None where none did.
        skipped: Whether it had been done before.
    """

    shard: str
    rows: int
    failed: int
    part: Path
    errors: Path | None
    skipped: bool

    @property
    def reason(self) -> str | None:
        """Why the first row that failed did."""
        if self.errors is None:
            return None
        row, reason = pl.scan_parquet(self.errors).select(INPUT_ROW, REASON).head(1).collect().row(0)
        return f"row {row}: {reason}"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "part": str(self.part), "errors": None if self.errors is None else str(self.errors)}


def run_shard(
    job: Job, shard: Shard, output: Path | str, *, batch_rows: int = BATCH_ROWS, checkpoint: float = CHECKPOINT, report: Report = silent
) -> Done:
    """Do one shard of a job, or what is left of it; nothing where it is done.

    Args:
        output: The folder of all shards.
        batch_rows: Rows that are computed together, in the mean. All shards have the same.
        checkpoint: Seconds of work that a kill may cost.

    Raises:
        InputError: The folder is another job's.
        LockedError: Another process works on this shard.
        DataError: Ids are not unique, or the disk is full.
    """
    output = Path(output)
    if batch_rows < 1:
        raise InputError("a batch has at least one row", where="batch_rows", found=batch_rows)
    source = job.source
    if not (output / MANIFEST).exists() and source.rows <= _CHECKED_WHOLE:
        # A repeated id that the last shard finds would cost all shards before it.
        require_unique(job, source.scan(), whole=True)
    about = {"pipeline": job.run.pipeline.words, "files": [str(file) for file in source.files], "key": list(job.key)}
    fingerprint = claim(output, {**job.facts(), "shards": shard.of, "batch_rows": batch_rows}, about)
    if (record := read_record(output, shard, fingerprint)) is not None:
        return _done(record, shard, output, skipped=True)
    scratch = output / f"{shard.scratch}-{fingerprint[:12]}"
    with folder_lock(scratch, doing=f"shard {shard} of {job.name}", elsewhere="--output FOLDER"):
        # Whoever held it before may have finished.
        if (record := read_record(output, shard, fingerprint)) is not None:
            return _done(record, shard, output, skipped=True)
        try:
            started = time.monotonic()
            plan = make_plan(job, shard, scratch, batch_rows=batch_rows, report=report)
            job.begin(shard, output, scratch, report)
            _work(job, plan, scratch, checkpoint=checkpoint, report=report)
            record = _finish(job, plan, shard, output, scratch, fingerprint, round(time.monotonic() - started, 3))
        except Exception as error:
            if (told := full_disk(error, output)) is not None:
                told.remedy, told.hint = None, "make room there and type the same command again: what is finished is kept"
                raise told from error
            raise
        shutil.rmtree(scratch, ignore_errors=True)
    return _done(record, shard, output, skipped=False)


def _done(record: Record, shard: Shard, output: Path, *, skipped: bool) -> Done:
    errors = output / shard.errors if record.failed else None
    return Done(str(shard), record.rows, record.failed, output / shard.part, errors, skipped)


def _work(job: Job, plan: Plan, scratch: Path, *, checkpoint: float, report: Report) -> None:
    """Answer all batches from the first that no file has, and write what has come now and then."""
    first = _known(scratch)
    since = time.monotonic()
    good: list[pl.DataFrame] = []
    bad: list[pl.DataFrame] = []
    for batch, rows in plan.batches(first):
        answered, failed = _answer(job, rows)
        good.append(answered)
        bad.append(failed)
        end = batch + 1
        report(job.doing, plan.edges[end], plan.rows)
        many = plan.edges[end] - plan.edges[first] >= _HELD
        if many or end == len(plan.edges) - 1 or time.monotonic() - since >= checkpoint:
            # Failures first: where the results are, both are.
            for kind, frames in (("bad", bad), ("good", good)):
                table = pl.concat(frames).sort(INPUT_ROW)
                write = partial(table.write_parquet, row_group_size=group_rows(table.schema))
                put_parquet(scratch / f"{kind}-{first:09d}-{end:09d}.parquet", write)
            first, since, good, bad = end, time.monotonic(), [], []


def _known(scratch: Path) -> int:
    """The first batch that is in no file; each file begins where the one before ends."""
    return max((end for _, end in _chunks(scratch)), default=0)


def _chunks(scratch: Path) -> list[tuple[int, int]]:
    found = [re.fullmatch(r"good-(\d{9})-(\d{9})\.parquet", file.name) for file in scratch.iterdir()]
    return sorted((int(one[1]), int(one[2])) for one in found if one)


def _answer(job: Job, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(rows with results, rows with reasons)."""
    answers = job.answer(rows)
    failed = pl.Series([answers.failed.get(place) for place in range(len(rows))], dtype=pl.String)
    good = rows.filter(failed.is_null()).drop(*job.drops).with_columns(**answers.columns)
    return good, rows.with_columns(failed.alias(REASON)).filter(failed.is_not_null()).with_columns(**answers.told)


def _finish(job: Job, plan: Plan, shard: Shard, output: Path, scratch: Path, fingerprint: str, seconds: float) -> Record:
    """Part, errors, and last the record that says that both are whole."""
    chunks = _chunks(scratch)
    good, bad = ([scratch / f"{kind}-{first:09d}-{end:09d}.parquet" for first, end in chunks] for kind in ("good", "bad"))
    failed = sum(int(pl.scan_parquet(file).select(pl.len()).collect().item()) for file in bad)
    _put(output / shard.part, good, _empty(job))
    names = [shard.part]
    if failed:
        _put(output / shard.errors, bad, _empty(job))
        names.append(shard.errors)
    else:
        (output / shard.errors).unlink(missing_ok=True)
    for kind, path in job.leaves(scratch).items():
        names.append(shard.named(kind, path.suffix))
        write_text(output / names[-1], path.read_text(encoding="utf-8"))
    files = {name: {"sha256": digest_file(output / name), "bytes": (output / name).stat().st_size} for name in names}
    record = Record(fingerprint, str(shard), plan.rows, failed, seconds, files)
    write_json(output / shard.record, asdict(record))
    return record


def _put(path: Path, files: Sequence[Path], empty: pl.DataFrame) -> None:
    if files:
        put_sorted(path, files)
    else:
        put_parquet(path, empty.write_parquet)


def _empty(job: Job) -> pl.DataFrame:
    """The part of a shard without rows."""
    columns = {INPUT_ROW: pl.Int64(), **{name: kind for name, kind in job.source.schema.items() if name not in job.drops}, **job.makes}
    return pl.DataFrame(schema=columns)
