"""What the package promises as a whole: names, light imports, no stray printing, the README's words."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import score_rag

ROOT = Path(__file__).resolve().parent.parent


def test_public_names_are_these():
    assert sorted(score_rag.__all__) == [
        "CollaborativeRetriever",
        "Pipeline",
        "Predictor",
        "RecommendWorkflow",
        "Recommender",
        "ScoreError",
        "SelfAssessingReranker",
        "UserQuery",
        "load_pipeline",
        "open_recommender",
    ]
    assert all(getattr(score_rag, name).__name__ == name for name in score_rag.__all__)
    with pytest.raises(AttributeError):
        _ = score_rag.nothing


@pytest.mark.parametrize(
    "code", ["import score_rag", "from score_rag.cli import app", "from score_rag.pipeline.config import load_pipeline"]
)
def test_nothing_heavy_is_imported_before_it_is_used(code):
    heavy = ("torch", "transformers", "llama_index", "chromadb", "litellm", "sentence_transformers", "peft", "onnxruntime", "polars")
    told = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*[m for m in {heavy!r} if m in sys.modules])"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == ""


def test_the_package_keeps_onnxruntime_from_reporting_and_leaves_the_choice_to_the_user():
    """Its builds for Linux send events to their maker's server, unless the variable is set before they start."""
    code = "import os, score_rag; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    plain = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    for given, expected in ((plain, "1"), ({**plain, "ORT_DISABLE_TELEMETRY": "0"}, "0")):
        told = subprocess.run([sys.executable, "-c", code], env=given, capture_output=True, text=True, check=True)
        assert told.stdout.strip() == expected


def test_serving_modules_import_no_training_package():
    modules = "recommend.recommender", "recommend.workflow", "predictor.predictor", "reranker.reranker"
    code = "import sys; " + "; ".join(f"import score_rag.{module}" for module in modules)
    code += "\nprint(*[m for m in ('torch', 'transformers', 'sentence_transformers', 'peft', 'litellm', 'datasets') if m in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == ""


def test_every_dependency_says_what_it_is_for():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lists = re.search(r"\ndependencies = \[(.*?)\n\]\n\n\[project.optional-dependencies\]\n(.*?)\n\n", text, re.S)
    lines = [line for line in "\n".join(lists.groups()).splitlines() if line.strip().startswith('"')]
    assert len(lines) > 25 and all("# " in line for line in lines)


def test_constraints_pin_every_direct_dependency_and_exclude_the_stolen_releases():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    every = project["dependencies"] + [one for extra in project["optional-dependencies"].values() for one in extra]
    names = {re.match(r"[A-Za-z0-9_-]+", one).group().lower() for one in every}
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line)
    assert names <= {name.lower().replace("_", "-") for name in pins}
    assert pins["litellm"] not in ("1.82.7", "1.82.8")
