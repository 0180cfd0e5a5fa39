"""Corrupted artefacts: what opens them says so, or makes them again; it never answers otherwise than before."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.stress.corruption_targets import TARGETS, Unnoticed
from benchmarks.stress.damage import KINDS, damaged
from benchmarks.stress.processes import Died, asked, context
from benchmarks.stress.result import Clock, Result

__all__ = ["FULL", "corruption"]

FULL = 10_000
_BATCH = 60
_LARGE = 1 << 20
_LARGE_SHARE = 0.02
"""Of the cases that may be a large file: hashing one takes as long as fifty small ones."""


def corruption(minutes: float, seed: int, toy: str | None, full: int = FULL) -> Result:
    """Damage one file after the other, a batch in a process of its own, so that a crash is a fault and not the end."""
    result, clock, number = Result("corruption", full), Clock(minutes), 0
    source = context(heavy=False)
    names = [name for name, target in TARGETS.items() if toy is not None or not target.needs_toy]
    weights = [TARGETS[name].weight for name in names]
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="score-rag-corruption-") as place:
        while result.done < full and (clock or number < len(names)):
            # Each once, then by chance.
            name = names[number] if number < len(names) else draw.choices(names, weights)[0]
            number += 1
            case = Path(place) / "case"
            try:
                counts, faults = asked(source, _batch, name, toy, Path(place) / name, seed * 100_000 + number, case)
            except Died as error:
                counts, faults = Counter(), [f"{name}: the process died of {case.read_text() if case.is_file() else 'its start'}: {error}"]
            result.counts.update(counts)
            for fault in faults:
                result.fault(fault)
            result.done = sum(value for kind, value in result.counts.items() if kind.startswith("damage "))
    return result.ended()


def _batch(name: str, toy: str | None, place: Path, seed: int, case: Path) -> tuple[Counter[str], list[str]]:
    from score_rag.errors import ScoreError

    draw, counts, faults, target = random.Random(seed), Counter[str](), list[str](), TARGETS[name]
    place.mkdir(parents=True, exist_ok=True)
    target.prepare(place, toy)
    files = target.files(place)
    small = [file for file in files if file.stat().st_size < _LARGE]
    large = [file for file in files if file not in small]
    for _ in range(max(1, _BATCH // target.cost)):
        file = draw.choice(large if large and (not small or draw.random() < _LARGE_SHARE) else small)
        kind = draw.choice(KINDS)
        case.write_text(f"{kind} {file.relative_to(place)}")
        with damaged(file, kind, draw, files) as is_other:
            if not is_other:
                continue
            counts[f"damage {kind}"] += 1
            try:
                counts[f"{name}: {target.open(place, file)}"] += 1
            except ScoreError as error:
                counts[f"{name}: {type(error).__name__}"] += 1
            except Unnoticed as error:
                faults.append(f"{name}, {kind} {file.relative_to(place)}, seed {seed}: {error}")
            except BaseException as error:  # noqa: BLE001  # whatever else it is (a panic of Rust, too), it is none of ours
                told = f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
                faults.append(f"{name}, {kind} {file.relative_to(place)}, seed {seed}: {told}")
    return counts, faults
