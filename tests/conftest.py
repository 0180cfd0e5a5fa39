"""What the tests share: no network, a toy world whose answers are known, and one small finished run on it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings
from run_copies import copy_run, digest

for _name, _value in (
    ("HF_HUB_OFFLINE", "1"),
    ("HF_HUB_DISABLE_PROGRESS_BARS", "1"),
    ("TOKENIZERS_PARALLELISM", "false"),
    ("LITELLM_LOCAL_MODEL_COST_MAP", "True"),
):
    os.environ[_name] = _value
# Tables are as wide as this says, and in some test processes it is set.
os.environ.pop("COLUMNS", None)

# A shared machine may be slow at any moment: how long an example takes is no result.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

TOY_PIPELINE = """
name: toy
seed: 3
runs: {runs}
data: {{source: table, path: {data}, split: column}}
crm: {{model: sasrec, dim: 16, epochs: 12, patience: 6, batch_size: 8, learning_rate: 0.01, neighbours: 3}}
documents: {{max_liked: 4, max_disliked: 2, every: 4}}
retriever: {{max_tokens: 64, tune_layers: 1, epochs: 4, batch_size: 16, hold_out: 0.1, similarity_top_k: 6}}
reranker: {{layers: 1, learning_rate: 1.0e-3, max_tokens: 96, pairs: 24, epochs: 1, batch_size: 4, top_n: 2}}
predictor:
  prompt: predict_evidence
  neighbours: judges
  bundled_base:
    {{width: 32, heads: 2, vocabulary: 600, epochs: 6, batch_size: 4, learning_rate: 0.005, weight_decay: 0.01, teacher_weight: 0}}
  examples: 60
  valid_examples: 80
  epochs: 1
evaluation: {{split: test, rows: null, resamples: 50}}
"""


def write_tables(world, folder: Path) -> Path:
    """An `Interactions` as the two files that the source `table` reads."""
    import polars as pl

    folder.mkdir(parents=True, exist_ok=True)
    world.events.drop("event", "sampled").write_csv(folder / "interactions.csv")
    lists = [pl.col(name).list.join("|") for name in ("genres", "creators", "keywords")]
    world.items.with_columns(lists).write_csv(folder / "items.csv")
    return folder


@pytest.fixture(scope="session")
def toy():
    """The toy world: even users like even films."""
    from score_rag.testing import toy_world

    return toy_world(users=36, items=24, events=18, seed=1)


@pytest.fixture(scope="session")
def toy_pipeline(toy, tmp_path_factory):
    """The toy pipeline's file, its data beside it; nothing has run."""
    kept = os.environ.get("SCORE_RAG_TEST_RUN")
    home = Path(kept) if kept else tmp_path_factory.mktemp("toy")
    data = home / "data" if (home / "data").exists() else write_tables(toy, home / "data")
    path = home / "toy.yaml"
    path.write_text(TOY_PIPELINE.format(runs=home / "runs", data=data), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def toy_run(toy_pipeline):
    """The toy pipeline after `score-rag run`: every stage real and trained, only small."""
    from score_rag.pipeline.config import load_pipeline
    from score_rag.pipeline.runner import run
    from score_rag.pipeline.stages import stages

    pipeline = load_pipeline(str(toy_pipeline))
    run(pipeline, stages(pipeline))
    before = digest(Path(pipeline.runs))
    assert before, "the toy run has weights that copies share"
    yield pipeline
    assert digest(Path(pipeline.runs)) == before, "a test wrote into weights that the copies of the run share"


@pytest.fixture(scope="session")
def toy_parts(toy_run):
    """The parts of the toy run."""
    from score_rag.evaluation.evaluate import open_run

    return open_run(toy_run)


@pytest.fixture
def fresh(toy_run, tmp_path):
    """A copy of the toy run and of its data, for one test to write to; nobody asked it anything yet."""
    from score_rag.pipeline.config import load_pipeline

    source = Path(toy_run.path).parent
    copy_run(toy_run.runs, tmp_path / "runs")
    shutil.copytree(source / "data", tmp_path / "data")
    text = toy_run.path.read_text(encoding="utf-8").replace(str(source / "runs"), str(tmp_path / "runs"))
    path = tmp_path / "toy.yaml"
    path.write_text(text.replace(str(source / "data"), str(tmp_path / "data")), encoding="utf-8")
    return load_pipeline(str(path))
