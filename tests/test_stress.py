"""The stress scripts (`make stress`) in small: they do what they say, and what is broken is a fault."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def stressed(*words: str) -> dict:
    """What one of them says as JSON, within seconds, without a trained run."""
    command = [sys.executable, "-m", "benchmarks.stress", *words, "--minutes", "0.03", "--json"]
    told = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})
    (found,) = json.loads(told.stdout)
    assert found["faults"] == [] and told.returncode == 0, told.stdout + told.stderr
    return found


def test_readers_and_a_writer_for_a_moment():
    found = stressed("readers", "--light")
    assert found["done"] > 8 and found["facts"]["refused_ms_median"] < 100


def test_writers_are_killed_and_go_on():
    found = stressed("kills", "--light")
    assert found["full"] == 1000 and found["done"] >= 1 and {*found["counts"]} <= {"index writer", "feedback writer", "assessment job"}


def test_files_are_damaged_and_refused():
    found = stressed("corruption", "--light")
    assert found["done"] > 50 and found["counts"]["index: IndexMismatchError"] > 10


def test_random_logs_leak_nothing_and_what_leaks_is_a_fault(monkeypatch):
    import test_leak

    from benchmarks.stress.leaks import leaks

    found = leaks(0.03, 1, full=9, workers=1)
    assert found.ok and found.done >= 3 and len(found.counts) == 3
    monkeypatch.setattr(test_leak, "CARRIERS", {"every label": lambda world, asked: world.events["label"].to_list()})
    assert any("the future moves every label (seed 1000" in fault for fault in leaks(0.03, 1, full=90, workers=1).faults)


def test_the_checks_of_the_checks_can_fail(tmp_path, monkeypatch):
    """An index whose record is not looked at answers from flipped bits, and that is called a fault."""
    from benchmarks.stress.corruption_targets import Index, Unnoticed
    from benchmarks.stress.damage import damaged
    from score_rag.files import VERIFY

    target, unnoticed = Index(), 0
    target.prepare(tmp_path, None)
    draw = random.Random(1)
    for verify in ("0", "1"):
        monkeypatch.setenv(VERIFY, verify)
        for _ in range(20):
            with damaged(tmp_path / "000001" / "vectors.npy", "bytes", draw) as other:
                assert other
                try:
                    target.open(tmp_path, tmp_path / "000001" / "vectors.npy")
                except Unnoticed:
                    unnoticed += verify == "0"
                    assert verify == "0"
                except Exception as error:  # noqa: BLE001
                    assert verify == "0" or "not what was written" in str(error)
    assert unnoticed


@pytest.mark.parametrize("kind", ["bit", "bytes", "block", "truncated", "emptied", "longer"])
def test_damage_is_of_its_kind_and_undone(tmp_path, kind):
    from benchmarks.stress.damage import damaged

    file, link = tmp_path / "a", tmp_path / "b"
    file.write_bytes(bytes(range(256)) * 8)
    os.link(file, link)
    with damaged(file, kind, random.Random(3)) as other:
        assert other and file.read_bytes() != link.read_bytes() and len(link.read_bytes()) == 2048
    assert file.read_bytes() == link.read_bytes() and [path.name for path in sorted(tmp_path.iterdir())] == ["a", "b"]
