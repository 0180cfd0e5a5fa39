"""The plain install serves; what needs more says which extra brings it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from score_rag.errors import MissingPackageError, ScoreError
from score_rag.extras import EXTRAS, TRAINING, missing_package, names_extras, require

ROOT = Path(__file__).resolve().parent.parent

# What a process is without the training packages.
WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)

sys.meta_path.insert(0, Absent())
"""


def without_training(code: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A fresh process in which no training package can be imported."""
    names = (*TRAINING, "litellm", "sklearn", "pandas")
    return subprocess.run([sys.executable, "-c", WITHOUT.format(names=names) + code], capture_output=True, text=True, env=os.environ | more)


def test_each_module_is_brought_by_the_extra_that_it_names():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for module, extra in EXTRAS.items():
        names = {re.match(r"[\w-]+(\[[\w-]+\])?", one).group().replace("-", "_") for one in extras[extra]}
        # `datasets` comes with the trainers of sentence-transformers.
        assert (
            module in names
            or f"{module}_skinny" in names
            or f"{module}_cpu" in names
            or (module == "ray" and "ray[data]" in names)
            or (module == "datasets" and "sentence_transformers[train]" in names)
            or (module == "sentence_transformers" and "sentence_transformers[train]" in names)
        ), module


def test_the_plain_install_has_no_training_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    plain = {re.match(r"[\w-]+", one).group().replace("-", "_") for one in project["dependencies"]}
    assert not plain & EXTRAS.keys()


def test_a_missing_module_of_an_extra_says_what_to_add():
    @names_extras()
    def train() -> None:
        raise ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn")

    with pytest.raises(MissingPackageError) as caught:
        train()
    assert caught.value.hint == "pip install 'score-rag[train]'" and caught.value.found == "no module torch"
    assert isinstance(caught.value, ScoreError) and isinstance(caught.value, ImportError)


def test_any_other_missing_module_stays_what_it_is():
    with pytest.raises(ModuleNotFoundError, match="somebody_elses") as caught, names_extras():
        import somebody_elses  # noqa: F401
    assert not isinstance(caught.value, ScoreError) and missing_package(caught.value) is None


def test_require_looks_without_importing(monkeypatch):
    require("json", "torch")
    monkeypatch.setattr("score_rag.extras.find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match="peft"):
        require("peft")


SERVES = """
from score_rag import CollaborativeRetriever, Predictor, SelfAssessingReranker, UserQuery, load_pipeline, open_recommender

recommender = open_recommender(load_pipeline({path!r}))
print(0 < recommender.recommend("7", "17").probability < 1, len(recommender.top("7", 3)))
print(len(recommender.top(None, 3, history=["1", "-2"])))
print(0 < recommender.recommend(None, "17", history=["1", "-2"], as_of=10**9).probability < 1)
folder = {folder!r}
nodes = CollaborativeRetriever.from_pretrained(folder, similarity_top_k=4).retrieve(UserQuery("Liked: Even 2.", user_id="7"))
print(len(SelfAssessingReranker.from_pretrained(folder, top_n=2).postprocess_nodes(nodes, query_str="Liked: Even 2.")))
print(0 < Predictor.from_pretrained(folder).score(["Will they like it?"])[0].probability < 1)
"""


def test_a_finished_run_is_served_without_training_packages(toy_run):
    code = SERVES.format(path=str(toy_run.path), folder=str(Path(toy_run.runs) / toy_run.name))
    told = without_training(code)
    assert told.stdout.splitlines() == ["True 3", "3", "True", "2", "True"], told.stderr


@pytest.mark.parametrize(
    "words",
    [["run", "{path}", "--force"], ["assess", "run", "{path}", "--dry-run", "--set", "reranker.assessor=gpt-4o-mini"]],
)
def test_a_training_command_says_what_to_add(toy_run, words):
    typed = [word.format(path=toy_run.path) for word in words]
    told = without_training(f"sys.argv[1:] = {typed!r}\nfrom score_rag.cli import main\nmain()")
    assert told.returncode != 0 and "Traceback" not in told.stderr, told.stderr
    assert "pip install 'score-rag[train]'" in told.stderr
