"""What `score`, `embed` and `assess run` have in common where they work in shards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from score_rag.errors import InputError, RowsFailedError

if TYPE_CHECKING:
    from score_rag.cli.shard_options import OnRay
    from score_rag.shards.cluster import AllDone
    from score_rag.shards.order import Order
    from score_rag.shards.work import Done

__all__ = ["TAKE_IN", "assess_folder", "ordered", "tell", "worked"]

TAKE_IN = "take all shards into the run (assess take) and ask without shards (assess run)"
"""How failed questions are asked again."""


def ordered(
    kind: Literal["score", "embed", "assess"], pipeline: str, overrides: Sequence[str] | None, source: Path | None = None, **options: Any
) -> Order:
    """The job that was typed."""
    from score_rag.shards.order import Order

    return Order(kind, pipeline, tuple(overrides or ()), source, options)


def worked(order: Order, output: Path, shard: str, ray: OnRay = None, *, batch_rows: int, checkpoint: float, quiet: bool) -> Done | AllDone:
    """Do one shard here, or all on a cluster, with bars."""
    from score_rag.cli.screen import bars
    from score_rag.shards import Shard, run_shard

    if ray is not None:
        from score_rag.shards.cluster import run_on_ray

        with bars(quiet=quiet) as report:
            return run_on_ray(order, output, batch_rows=batch_rows, checkpoint=checkpoint, report=report, **ray)
    one = Shard.parse(shard)
    with bars(quiet=quiet) as report:
        return run_shard(order.make(report=report), one, output, batch_rows=batch_rows, checkpoint=checkpoint, report=report)


def assess_folder(shard: str | None, output: Path | None, *, batch: bool, dry_run: bool) -> Path | None:
    """The folder where shards were asked for.

    Raises:
        InputError: Options that do not go together.
    """
    if shard is not None and output is None:
        raise InputError("a shard needs a folder that all shards share", where="--shard", expected="--output FOLDER too")
    if output is not None and (batch or dry_run):
        odd = "--batch" if batch else "--dry-run"
        hint = "a batch is one already" if batch else "without --output it tells of all shards together"
        raise InputError(f"{odd} does not go with shards", where="--output", hint=hint)
    return output


def tell(done: Done | AllDone, *, json: bool, again: str = "make them an input of their own") -> None:
    """Say what was done.

    Args:
        again: How failed rows are tried again.

    Raises:
        RowsFailedError: Some rows have no result.
    """
    from score_rag.shards.cluster import AllDone

    if json:
        from score_rag.cli.screen import print_json

        print_json(done.to_dict())
    elif isinstance(done, AllDone):
        typer.echo(f"{len(done.shards):,} shards: {done.rows - done.failed:,} rows in {done.output}")
        for shard, count in done.tries.items():
            typer.echo(f"  shard {shard} was begun {count} times: its actor died")
    else:
        typer.echo(f"shard {done.shard}: {done.rows - done.failed:,} rows in {done.part}" + (", done before" if done.skipped else ""))
    if done.failed:
        kind = "the shards" if isinstance(done, AllDone) else "the shard"
        raise RowsFailedError(
            f"{done.failed:,} of {done.rows:,} rows of {kind} failed; "
            + ("all others are written" if done.failed < done.rows else "no other is there"),
            where=done.errors,
            found=done.reason,
            hint=f"the column reason says why, for each; to try them again, {again}",
        )
