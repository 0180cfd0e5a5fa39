"""Library calls speak to nobody's screen, and take nobody's screen away."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from score_rag.inference import quiet as quiet_module
from score_rag.inference.export import export_onnx
from score_rag.inference.quiet import quiet

SOURCES = Path(__file__).parent.parent / "score_rag"


class Switch:
    """Stands for transformers' switch of its bars."""

    def __init__(self, shown: bool) -> None:
        self.shown = shown

    def is_progress_bar_enabled(self) -> bool:
        return self.shown

    def disable_progress_bar(self) -> None:
        self.shown = False

    def enable_progress_bar(self) -> None:
        self.shown = True


@pytest.mark.parametrize("shown", [True, False])
def test_switches_are_put_back_when_the_last_of_overlapping_blocks_ends(monkeypatch, shown):
    switch, logger = Switch(shown), logging.getLogger("torch.onnx")
    monkeypatch.setattr(quiet_module, "_switch", lambda: switch)
    before = logger.level
    first, second = quiet(), quiet()
    first.__enter__()
    second.__enter__()
    assert not switch.shown and logger.level == logging.ERROR
    first.__exit__(None, None, None)
    assert not switch.shown and logger.level == logging.ERROR, "the other block goes on"
    second.__exit__(None, None, None)
    assert switch.shown is shown and logger.level == before
    with pytest.raises(RuntimeError), quiet():
        raise RuntimeError
    assert switch.shown is shown and logger.level == before


def test_an_export_is_silent_and_leaves_the_streams_where_they_are(tmp_path, monkeypatch, capfd):
    streams, during, export = (sys.stdout, sys.stderr), [], torch.onnx.export

    def watched(*args, **more):
        during.append((sys.stdout, sys.stderr))
        return export(*args, **more)

    class Sum(torch.nn.Module):
        def forward(self, numbers: torch.Tensor) -> torch.Tensor:
            return numbers.float().sum(dim=1)

    monkeypatch.setattr(torch.onnx, "export", watched)
    export_onnx(Sum(), {"numbers": torch.ones(2, 3, dtype=torch.long)}, tmp_path / "sum.onnx", output="sums")
    assert during == [streams] and (tmp_path / "sum.onnx").stat().st_size
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_another_thread_s_words_are_heard_while_an_encoder_is_opened(tmp_path):
    code = (
        "import sys, threading\n"
        "from score_rag.encoders.encoder import TextEncoder\n"
        "done, said = threading.Event(), []\n"
        "def talk():\n"
        "    while not done.wait(0.05):\n"
        "        said.append(0); print('out'); print('err', file=sys.stderr)\n"
        "thread = threading.Thread(target=talk); thread.start()\n"
        "TextEncoder.untrained(max_tokens=16)\n"
        "done.set(); thread.join(); print(len(said))\n"
    )
    # Bars are shown unless somebody turns them off.
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_DISABLE_PROGRESS_BARS"}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment | {"XDG_CACHE_HOME": str(tmp_path)}, capture_output=True, text=True, check=True
    )
    *out, count = ran.stdout.split()
    assert int(count) > 20
    assert out == ["out"] * int(count) and ran.stderr.split() == ["err"] * int(count)


def test_nothing_redirects_the_process_s_streams():
    redirecting = re.compile(r"redirect_std|sys\.std(out|err) *= |os\.dup2")
    # An MCP server's process has no other work, and its standard output is the protocol's.
    assert [file.name for file in SOURCES.rglob("*.py") if redirecting.search(file.read_text(encoding="utf-8"))] == ["mcp_server.py"]
