"""What ships: the image's steps run outside Docker, its files agree with each other, and no shell script is malformed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from score_rag.extras import TRAINING

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_the_image_runs_as_nobody_special_and_is_watched():
    lines = DOCKERFILE.splitlines()
    assert lines[-1].startswith("CMD [") and "HEALTHCHECK" in DOCKERFILE and "EXPOSE 8765" in DOCKERFILE
    # After the last change of user nothing is installed or copied.
    last = max(number for number, line in enumerate(lines) if line.startswith("USER "))
    assert lines[last] == "USER app" and not [line for line in lines[last:] if line.startswith(("RUN", "COPY", "ADD"))]
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.M) == ["python:3.12-slim"] * 2
    assert "HF_HUB_OFFLINE=1" in DOCKERFILE and "://" not in DOCKERFILE


def test_all_that_the_image_copies_is_sent_to_the_builder():
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")}
    copied = [word for line in re.findall(r"^COPY (?!--from)(.*)", DOCKERFILE, re.M) for word in line.split()[:-1]]
    assert {word.partition("/")[0] for word in copied} <= sent and all((ROOT / name).exists() for name in sent)


def test_compose_has_the_pinned_chroma_and_asks_for_a_key():
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    pin = re.search(r"^chromadb==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M).group(1)
    assert services["chroma"]["image"] == f"chromadb/chroma:{pin}"
    assert services["score-rag"]["environment"]["SCORE_RAG_API_KEY"].startswith("${SCORE_RAG_API_KEY:?")
    assert all(port.startswith("127.0.0.1:") for service in services.values() for port in service["ports"])


@pytest.mark.parametrize("script", sorted((ROOT / "scripts").glob("*.sh")), ids=lambda path: path.name)
def test_a_script_is_well_formed(script):
    assert os.access(script, os.X_OK)
    assert subprocess.run(["sh", "-n", script], capture_output=True).returncode == 0


def test_what_the_audit_passes_over_says_why():
    lines = (ROOT / "scripts" / "audit-ignores.txt").read_text(encoding="utf-8").splitlines()
    assert all(line.startswith("#") or len(line.split()) > 5 for line in lines if line)


@pytest.mark.slow
@pytest.mark.enable_socket
def test_the_image_s_steps_make_an_install_that_serves(toy_run, tmp_path):
    """A bare environment, the image's script, a finished run: answered, and training says what to add. Needs a package index."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "app"], check=True)
    python = tmp_path / "app" / "bin" / "python"
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([ROOT / "scripts" / "install_serving.sh", python, ROOT], check=True, env=plain, cwd=tmp_path)
    program = python.with_name("score-rag")

    def typed(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([program, *words], capture_output=True, text=True, env=plain, cwd=tmp_path)

    told = typed("recommend", "--pipeline", str(toy_run.path), "--user", "7", "--item", "17", "--json")
    assert told.returncode == 0 and '"probability"' in told.stdout, told.stderr
    refused = typed("run", str(toy_run.path), "--force")
    assert refused.returncode == 1 and "pip install 'score-rag[train]'" in refused.stderr
    site = next((tmp_path / "app" / "lib").glob("python3*/site-packages"))
    assert not [name for name in TRAINING if (site / name).exists()]


def test_make_install_brings_every_extra_that_tests_need():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = re.search(r"-e '\.\[([\w,]+)\]'", (ROOT / "Makefile").read_text(encoding="utf-8")).group(1).split(",")
    assert {"train", "mcp", "offline", "dev", "docs"} <= set(named) <= set(extras)
