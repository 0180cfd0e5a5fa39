"""Put the toy world under stress, and say what came of it.

    python -m benchmarks.stress [kills|readers|corruption|leaks|disk] [--minutes 12] [--seed 1] [--light] [--json]

Without a name all five are done, in the time given. The exit status is 1 where anything went wrong. `SCORE_RAG_TEST_RUN` names a folder
where the toy run is kept; it is trained first where it is not there, which is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.stress.corruption import corruption
from benchmarks.stress.disk import disk
from benchmarks.stress.kills import kills
from benchmarks.stress.leaks import leaks
from benchmarks.stress.processes import asked, context
from benchmarks.stress.readers import readers
from benchmarks.stress.result import Result
from benchmarks.stress.toy import make_toy

SHARES = {"kills": 0.35, "readers": 0.08, "corruption": 0.2, "leaks": 0.17, "disk": 0.2}


def main() -> None:
    """The command."""
    said = argparse.ArgumentParser(prog="python -m benchmarks.stress", description=__doc__.partition("\n")[0])
    said.add_argument("name", nargs="?", choices=list(SHARES), help="one of them alone")
    said.add_argument("--minutes", type=float, default=12, help="in all; a round that has begun is ended")
    said.add_argument("--seed", type=int, default=1)
    said.add_argument("--full", type=int, help="another amount than the full one")
    said.add_argument("--light", action="store_true", help="without a trained run: only what needs none; two readers")
    said.add_argument("--json", action="store_true")
    asked_for = said.parse_args()
    # What comes of the same work must be the same bits; two that share the cores must not wait for each other.
    for name in ("OMP_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ.setdefault(name, "1")
    os.environ.update({"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "LITELLM_LOCAL_MODEL_COST_MAP": "True"})
    names = [asked_for.name] if asked_for.name else list(SHARES)
    with tempfile.TemporaryDirectory(prefix="score-rag-stress-") as home:
        needed = not asked_for.light and {*names} & {"kills", "corruption", "disk"}
        toy = asked(context(heavy=True), make_toy, home, patience=3600) if needed else None
        found = [_done(name, asked_for.minutes * (SHARES[name] if len(names) > 1 else 1), asked_for, toy) for name in names]
    if asked_for.json:
        print(json.dumps([one.to_dict() for one in found], indent=2))
    else:
        _show(found)
    sys.exit(0 if all(one.ok for one in found) else 1)


def _done(name: str, minutes: float, asked_for: argparse.Namespace, toy: str | None) -> Result:
    amount = {} if asked_for.full is None else {"full": asked_for.full}
    print(f"{name}: up to {minutes:.1f} minutes", file=sys.stderr, flush=True)
    match name:
        case "kills":
            return kills(minutes, asked_for.seed, toy, **amount)
        case "corruption":
            return corruption(minutes, asked_for.seed, toy, **amount)
        case "leaks":
            return leaks(minutes, asked_for.seed, **amount)
        case "readers":
            return readers(minutes, asked_for.seed, count=2 if asked_for.light else 8)
        case _:
            return disk(minutes, asked_for.seed, toy)


def _show(found: list[Result]) -> None:
    from rich.console import Console
    from rich.table import Table

    screen, table = Console(), Table("stress", "done", "of the full amount", "seconds", "faults", title="trust under stress")
    for one in found:
        state = f"[yellow]skipped: {one.skipped}[/]" if one.skipped else f"[red]{len(one.faults)}[/]" if one.faults else "[green]0[/]"
        table.add_row(one.name, f"{one.done:,}", f"{one.full:,}" if one.full else "-", f"{one.seconds:.0f}", state)
    screen.print(table)
    for one in found:
        told = {**one.counts, **one.facts}
        screen.print(
            f"[bold]{one.name}[/] " + "; ".join(f"{name} {value}" for name, value in told.items()), highlight=False, soft_wrap=True
        )
        for fault in one.faults[:20]:
            screen.print(f"  ✗ {fault}", style="red", markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.path[:0] = [str(Path.cwd())]
    main()
