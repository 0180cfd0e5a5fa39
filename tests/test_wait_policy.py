"""Threads that wait by sleeping: said before any library reads it, whichever way the command line is entered."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SPY = """
import builtins, os, sys
HEAVY = {"torch", "numpy", "onnxruntime", "polars", "scipy", "sklearn"}
class Spy:
    def find_spec(self, name, path=None, target=None):
        if name in HEAVY:
            sys.stderr.write(f"spy {name} {os.environ.get('OMP_WAIT_POLICY')}\\n")
        return None
sys.meta_path.insert(0, Spy())
"""
ENTRIES = {
    "module": ["-m", "score_rag.cli"],
    "entry point": ["-c", "import sys; from score_rag.cli import main; sys.exit(main())"],
    "checkout": [str(ROOT / "cli.py")],
}


@pytest.mark.parametrize("given", [None, "ACTIVE"])
@pytest.mark.parametrize("entry", ENTRIES)
def test_the_wait_policy_is_there_before_the_first_heavy_import(entry, given, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(SPY)
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), str(ROOT)])
    if given is not None:
        environment["OMP_WAIT_POLICY"] = given
    (tmp_path / "interactions.csv").write_text(
        "user_id,item_id,label,timestamp\n" + "".join(f"u,i{n % 3},{n % 2},{n}\n" for n in range(12))
    )
    (tmp_path / "items.csv").write_text("item_id,title\n" + "".join(f"i{n},Film {n}\n" for n in range(3)))
    (tmp_path / "tiny.yaml").write_text("name: tiny\ndata: {source: table, path: .}\n")
    words = [sys.executable, *ENTRIES[entry], "data", "show", "tiny.yaml", "--json"]
    ran = subprocess.run(words, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    seen = [line.split() for line in ran.stderr.splitlines() if line.startswith("spy ")]
    assert "polars" in {name for _, name, _ in seen}, "nothing heavy was imported: this shows nothing"
    assert {policy for *_, policy in seen} == {given or "PASSIVE"}
