"""`score-rag score` and `embed`: many rows in shards, on as many machines as there are; `score-rag shards`: their parts together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from score_rag.cli.options import Json, PipelineName, Set
from score_rag.cli.shard_options import (
    Address,
    BatchRows,
    Checkpoint,
    Cpus,
    Engine,
    Gpus,
    Input,
    Output,
    ShardOf,
    Shards,
    Timeout,
    on_ray,
)
from score_rag.cli.shard_work import ordered, tell, worked
from score_rag.errors import RowsFailedError

if TYPE_CHECKING:
    from score_rag.shards.check import ShardsReport

__all__ = ["app", "checked", "embed", "merged", "score"]

app = typer.Typer(
    no_args_is_help=True, help="Check and merge what `score`, `embed` and `assess run` wrote in shards.", rich_markup_mode=None
)
Folder = Annotated[Path, typer.Argument(help="The folder that the shards were written to.")]


def score(
    pipeline: PipelineName,
    input_: Input,
    output: Output,
    shard: ShardOf = "0/1",
    quick: Annotated[bool, typer.Option("--quick", help="Tell the most alike users, not reranked ones: a tenth of the time.")] = False,
    batch_rows: BatchRows = 256,
    checkpoint: Checkpoint = 30.0,
    engine: Engine = "here",
    ray_address: Address = None,
    shards: Shards = None,
    cpus_per_shard: Cpus = None,
    gpus_per_shard: Gpus = None,
    timeout: Timeout = None,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Score rows of user_id, item_id and, if given, as_of (or timestamp): P(like), mass, ordered_by; one shard of the rows, or all on Ray.

    The same command goes on after a kill, and skips a shard that is done. Exits with status 4 where rows failed: they are in
    errors-*.parquet with the reasons.
    """
    order = ordered("score", pipeline, set_, input_, reranked=not quick)
    ray = on_ray(engine, shard, address=ray_address, shards=shards, cpus=cpus_per_shard, gpus=gpus_per_shard, timeout=timeout)
    tell(worked(order, output, shard, ray, batch_rows=batch_rows, checkpoint=checkpoint, quiet=json), json=json)


def embed(
    pipeline: PipelineName,
    output: Output,
    input_: Annotated[
        Path | None,
        typer.Option("--input", metavar="FILE|FOLDER", help="Parquet with a column text. Default: the behaviour documents of the run."),
    ] = None,
    shard: ShardOf = "0/1",
    id_: Annotated[
        str | None, typer.Option("--id", help="The column that names a row. Default: document_id, id, user_id or item_id.")
    ] = None,
    dtype: Annotated[
        Literal["float32", "bfloat16"], typer.Option(help="Of vectors; bfloat16 is written as its 16 bits (uint16).")
    ] = "float32",
    batch_rows: BatchRows = 256,
    checkpoint: Checkpoint = 30.0,
    engine: Engine = "here",
    ray_address: Address = None,
    shards: Shards = None,
    cpus_per_shard: Cpus = None,
    gpus_per_shard: Gpus = None,
    timeout: Timeout = None,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Embed texts by the run's trained encoder: unit vectors as fixed-size lists; one shard of the rows, or all on Ray.

    The same command goes on after a kill, and skips a shard that is done. Exits with status 4 where rows failed: they are in
    errors-*.parquet with the reasons.
    """
    order = ordered("embed", pipeline, set_, input_, id=id_, dtype=dtype)
    ray = on_ray(engine, shard, address=ray_address, shards=shards, cpus=cpus_per_shard, gpus=gpus_per_shard, timeout=timeout)
    tell(worked(order, output, shard, ray, batch_rows=batch_rows, checkpoint=checkpoint, quiet=json), json=json)


@app.command()
def check(folder: Folder, json: Json = False) -> None:
    """Check that all shards are there and unchanged, and hold every row of the input once. Exits with status 1 where they do not."""
    found = checked(folder, quiet=json)
    _show(found, json=json)
    if not found.ok:
        raise typer.Exit(1)


@app.command()
def merge(
    folder: Folder,
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="The Parquet file to write, in the order of the input.")],
    errors: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the rows that failed.")] = None,
    json: Json = False,
) -> None:
    """Check the shards, then write them as one file in the order of the input.

    Exits with status 1 where a shard is missing, and with 4 where rows failed: the others are written.
    """
    found = merged(folder, output, errors, quiet=json)
    _show(found, json=json, file=output)
    if found.failed:
        if not json:
            where = errors or f"errors-*.parquet in {folder}; --errors FILE writes them as one"
            typer.echo(f"{found.failed:,} of {found.rows:,} rows failed: the column reason says why ({where})", err=True)
        raise typer.Exit(RowsFailedError.exit_code)


def checked(folder: Path, *, quiet: bool = False) -> ShardsReport:
    """Check, with bars."""
    from score_rag.cli.screen import bars
    from score_rag.shards import check_shards

    with bars(quiet=quiet) as report:
        return check_shards(folder, report=report)


def merged(folder: Path, file: Path, errors: Path | None, *, quiet: bool = False) -> ShardsReport:
    """Merge, with bars."""
    from score_rag.cli.screen import bars
    from score_rag.shards import merge_shards

    with bars(quiet=quiet) as report:
        return merge_shards(folder, file, errors=errors, report=report)


def _show(found: ShardsReport, *, json: bool, file: Path | None = None) -> None:
    if json:
        from score_rag.cli.screen import print_json

        print_json(found.to_dict())
        return
    typer.echo(f"{found.job}: {found.done:,} of {found.shards:,} shards, {found.rows:,} rows of the input, {found.failed:,} failed")
    for shard, fault in found.faults.items():
        typer.echo(f"  shard {shard}: {fault}")
    missing = "in no shard" if found.done == found.shards else "not done yet, or in shards that are not whole"
    for count, what in ((found.missing, missing), (found.twice, "in more than one place")):
        if count:
            typer.echo(f"  {count:,} rows {what}")
    if file is not None:
        typer.echo(f"written to {file}")
