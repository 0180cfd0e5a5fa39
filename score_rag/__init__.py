"""score-rag: a recommender that tells a language model, in words, what other users did (SCORE, arXiv 2505.19464).

The public names are loaded when they are first used: importing this package imports nothing heavy.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# onnxruntime reports on its use to its maker unless this is set before it starts; with score-rag nothing leaves the machine unasked.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from score_rag.errors import ScoreError
    from score_rag.pipeline.config import Pipeline, load_pipeline
    from score_rag.predictor.predictor import Predictor
    from score_rag.recommend.recommender import Recommender, open_recommender
    from score_rag.recommend.workflow import RecommendWorkflow
    from score_rag.reranker.reranker import SelfAssessingReranker
    from score_rag.retriever.query import UserQuery
    from score_rag.retriever.retriever import CollaborativeRetriever

    __version__: str

__all__ = [
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

_HOMES = {
    "CollaborativeRetriever": "score_rag.retriever.retriever",
    "Pipeline": "score_rag.pipeline.config",
    "Predictor": "score_rag.predictor.predictor",
    "RecommendWorkflow": "score_rag.recommend.workflow",
    "Recommender": "score_rag.recommend.recommender",
    "ScoreError": "score_rag.errors",
    "SelfAssessingReranker": "score_rag.reranker.reranker",
    "UserQuery": "score_rag.retriever.query",
    "load_pipeline": "score_rag.pipeline.config",
    "open_recommender": "score_rag.recommend.recommender",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("score-rag")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
