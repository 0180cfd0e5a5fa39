"""Threads that spin while they wait, and threads that sleep: a training step alone, and beside one process that keeps a core busy.

`OMP_WAIT_POLICY` is read when torch is loaded, so each policy is a process of its own. The command line sets `PASSIVE` unless the
environment says otherwise; this is what that costs, and what it saves where cores are shared.

    python benchmarks/wait_policy.py [--steps 60] [--threads 2]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

POLICIES = ("ACTIVE", "PASSIVE")


def step_seconds(steps: int, threads: int) -> float:
    """Median seconds of a training step: forward, backward and AdamW of a small transformer layer."""
    import torch

    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
    optimizer = torch.optim.AdamW(layer.parameters())
    rows = torch.randn(32, 48, 64, generator=generator)
    taken = []
    for step in range(steps + 5):
        started = time.perf_counter()
        loss = layer(rows).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step >= 5:
            taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def measured(policy: str, steps: int, threads: int) -> float:
    """`step_seconds` in a process of its own, under a policy."""
    command = [sys.executable, __file__, "--steps", str(steps), "--threads", str(threads), "--inner"]
    environment = os.environ | {"OMP_WAIT_POLICY": policy, "OMP_NUM_THREADS": str(threads)}
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--inner", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inner:
        print(step_seconds(given.steps, given.threads))
        return
    found: dict[tuple[str, bool], float] = {}
    for busy in (False, True):
        neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
        try:
            for policy in POLICIES:
                found[policy, busy] = measured(policy, given.steps, given.threads)
                where = "beside a busy process" if busy else "alone"
                print(f"{policy:<8} {where:<22} {1000 * found[policy, busy]:8.2f} ms a step", flush=True)
        finally:
            if neighbour is not None:
                neighbour.kill()
                neighbour.wait()
    for policy in POLICIES:
        print(f"{policy:<8} beside a busy process / alone: {found[policy, True] / found[policy, False]:.2f}")
    for busy in (False, True):
        where = "beside a busy process" if busy else "alone"
        print(f"PASSIVE / ACTIVE, {where}: {found['PASSIVE', busy] / found['ACTIVE', busy]:.2f}")


if __name__ == "__main__":
    main()
