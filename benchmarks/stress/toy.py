"""The toy run that is put under stress: the tests' own, every stage real and trained, only small."""

from __future__ import annotations

import os
from pathlib import Path

from score_rag.pipeline.config import Pipeline, load_pipeline

__all__ = ["make_toy", "toy_at"]


def make_toy(home: str) -> str:
    """The pipeline's file of a finished toy run in a folder, made where it is not there; `SCORE_RAG_TEST_RUN` names another folder."""
    from conftest import TOY_PIPELINE, write_tables

    from score_rag.pipeline.runner import run
    from score_rag.pipeline.stages import stages
    from score_rag.testing import toy_world

    place = Path(os.environ.get("SCORE_RAG_TEST_RUN") or home)
    if not (place / "data").exists():
        write_tables(toy_world(users=36, items=24, events=18, seed=1), place / "data")
    path = place / "toy.yaml"
    path.write_text(TOY_PIPELINE.format(runs=place / "runs", data=place / "data"), encoding="utf-8")
    pipeline = load_pipeline(str(path))
    run(pipeline, stages(pipeline))
    return str(path)


def toy_at(path: str, runs: Path | str) -> Pipeline:
    """The toy pipeline with its run in another folder."""
    return load_pipeline(path, overrides=[f"runs={runs}"])
