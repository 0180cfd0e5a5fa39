"""Options of work in shards, and what they say of the engine that does it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from score_rag.errors import InputError

__all__ = [
    "Address",
    "BatchRows",
    "Checkpoint",
    "Cpus",
    "Engine",
    "EngineName",
    "Gpus",
    "Input",
    "OnRay",
    "Output",
    "ShardOf",
    "Shards",
    "Timeout",
    "on_ray",
]

EngineName = Literal["here", "ray"]
OnRay = dict[str, Any] | None
"""Options of `run_on_ray`; None: one shard, in this process."""

Input = Annotated[Path, typer.Option("--input", metavar="FILE|FOLDER", help="Parquet file, or a folder of them (by name).")]
Output = Annotated[Path, typer.Option("--output", metavar="FOLDER", help="The folder of all shards: this job's alone.")]
ShardOf = Annotated[str, typer.Option("--shard", metavar="I/N", help="Which of how many shards, counted from 0: 0/16 to 15/16.")]
BatchRows = Annotated[int, typer.Option(min=1, help="Rows computed together, in the mean; the same for all shards.")]
Checkpoint = Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Work that a kill may cost.")]
Engine = Annotated[EngineName, typer.Option(help="here: one shard, in this process | ray: all shards, on a Ray cluster.")]
Address = Annotated[
    str | None,
    typer.Option("--ray-address", help="HOST:PORT of the cluster, or auto. Default: RAY_ADDRESS, or a Ray on this machine alone."),
]
Shards = Annotated[int | None, typer.Option("--shards", min=1, help="With ray: how many. Default: the folder's, or four a place.")]
Cpus = Annotated[float | None, typer.Option("--cpus-per-shard", min=0.1, help="With ray: cores, and threads, of each actor. Default: 1.")]
Gpus = Annotated[float | None, typer.Option("--gpus-per-shard", min=0, help="With ray: likewise. Default: 1 where there are any.")]
Timeout = Annotated[
    float | None, typer.Option("--timeout", min=1, metavar="SECONDS", help="With ray: no progress for so long is an error. Default: 600.")
]


def on_ray(
    engine: EngineName,
    shard: str | None,
    *,
    address: str | None,
    shards: int | None,
    cpus: float | None,
    gpus: float | None,
    timeout: float | None,
) -> OnRay:
    """The options of `run_on_ray` that were typed.

    Raises:
        InputError: They do not go with the engine.
    """
    given = {"address": address, "shards": shards, "cpus": cpus, "gpus": gpus, "timeout": timeout}
    typed = {name: value for name, value in given.items() if value is not None}
    if engine == "here" and typed:
        raise InputError("these options are for a cluster", where=", ".join(typed), expected="--engine ray too")
    if engine == "ray" and shard not in (None, "0/1"):
        raise InputError("a cluster does all shards", where="--shard", expected="--shards N", found=f"--shard {shard}")
    return typed if engine == "ray" else None
