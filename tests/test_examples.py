"""The examples run, against a finished run, and their types fit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"


def run(words: list[str], **more: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | more
    told = subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment, cwd=EXAMPLES)
    assert told.returncode == 0, told.stderr
    return told.stdout


def test_the_plain_example(toy_run):
    said = run(["plain.py", str(toy_run.path), "--user", "7"])
    assert "P(like) 0." in said and said.count("user ") >= 2 and "best: " in said and "alone: 0." in said


def test_the_agent_asks_and_tells_what_the_recommender_says(toy_run):
    said = run(["agent.py", str(toy_run.path), "--user", "7"])
    told = json.loads(said.partition("The recommender says: ")[2])
    assert told["user_id"] == "7" and told["item"]["item_id"] == "17" and told["neighbours"]


@pytest.mark.slow
def test_assessing_with_vllm_runs_but_for_the_engine(toy_run):
    """vLLM is not here: its configuration is checked, its stage has a stand-in."""
    pytest.importorskip("ray")
    said = run(
        ["ray/assess_with_vllm.py", str(toy_run.path), "--model", "some/model", "--gpus-each", "2", "--dry-run"],
        RAY_DATA_DISABLE_PROGRESS_BARS="1",
    )
    assert "24 of 24 answers were valid, 0 not valid" in said


def test_the_notebook_runs_from_top_to_bottom(toy_run, monkeypatch):
    """Every cell in turn, and what its last line shows."""
    notebook = json.loads((EXAMPLES / "notebook.ipynb").read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4 and all(not cell.get("outputs") for cell in notebook["cells"])
    monkeypatch.setenv("SCORE_RAG_PIPELINE", str(toy_run.path))
    names: dict[str, object] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert "<div" in names["found"]._repr_html_() and len(names["best"]) == 5


def test_the_fastapi_app_answers(toy_run, monkeypatch):
    pytest.importorskip("fastapi")
    code = (
        "import httpx, asyncio, fastapi_app as it\n"
        "async def main():\n"
        "    async with it.opened(it.app), httpx.AsyncClient(transport=httpx.ASGITransport(it.app), base_url='http://x') as ask:\n"
        "        best = (await ask.get('/users/7/recommendations?n=3')).json()\n"
        "        why = (await ask.get('/users/7/items/17')).json()\n"
        "        print(len(best['items']), 0 < why['probability'] < 1, (await ask.get('/users/nobody/items/17')).status_code)\n"
        "asyncio.run(main())\n"
    )
    assert run(["-c", code], SCORE_RAG_PIPELINE=str(toy_run.path)).split() == ["3", "True", "404"]


@pytest.mark.slow
def test_the_types_of_the_examples_fit():
    files = sorted(str(file) for file in EXAMPLES.glob("*.py"))
    assert len(files) == 3
    words = ["-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), *files]
    told = subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=ROOT)
    assert told.returncode == 0, told.stdout
