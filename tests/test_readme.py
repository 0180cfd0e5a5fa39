"""The README's commands exist and its code runs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import typer.main
from llama_index.core.schema import NodeWithScore

from score_rag.cli import app

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^score-rag .*?(?=\s+#|$)", README, re.M) + re.findall(r"`(score-rag [^`]*)`", README)


@pytest.mark.parametrize("command", sorted(set(COMMANDS)))
def test_every_command_of_the_readme_is_understood(command):
    words = shlex.split(command)[1:]
    place = typer.main.get_command(app)
    while words and hasattr(place, "commands") and words[0] in place.commands:
        place = place.commands[words.pop(0)]
    if words == ["--help"]:
        return
    # Parsing alone: a word that the command does not know, or a missing one, is an error here.
    place.make_context("score-rag", words, resilient_parsing=False) if not hasattr(place, "commands") else pytest.fail(command)


def test_the_plug_in_example_runs(toy_run, tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    folder = Path(toy_run.runs).resolve() / toy_run.name
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "sample").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    nodes = names["answer"].source_nodes
    assert len(nodes) == 2 and all(isinstance(node, NodeWithScore) for node in nodes) and capsys.readouterr().out
    assert len([line for line in code.splitlines() if line.strip()]) <= 12


def test_the_own_data_example_is_a_valid_pipeline(tmp_path):
    from score_rag.config import load_pipeline

    (text,) = re.findall(r"```yaml\n(.*?)```", README, re.S)
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    assert load_pipeline(str(tmp_path / "mine.yaml")).data.source == "table"


def test_the_make_file_has_the_two_commands_and_ci_calls_one():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "make demo" in README and "make test" in README
    assert re.search(r"^demo:", makefile, re.M) and re.search(r"^test:", makefile, re.M)
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.enable_socket
def test_a_wheel_in_a_fresh_environment_finds_prompts_and_pipelines(tmp_path):
    """Built and installed without its dependencies, which are borrowed from this environment."""
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT], check=True, capture_output=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "score_rag/_shipped/prompts/predict.md" in names and "score_rag/_shipped/pipelines/sample.yaml" in names
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", wheel], check=True)
    borrowed = next(path for path in sys.path if path.endswith("site-packages"))
    code = (
        f"import sys; sys.path.append({borrowed!r}); from score_rag.cli import main; sys.argv = ['score-rag', 'prompts', 'check']; main()"
    )
    told = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told.returncode == 0 and told.stdout.count("_shipped") == 3, told.stderr
