"""Components as their tests hold them: a retriever of three texts, the toy run's recommender and folder."""

from __future__ import annotations

import pytest

from score_rag import CollaborativeRetriever, open_recommender
from score_rag.testing import WordEncoder

__all__ = ["TEXTS", "answers", "recommender", "retriever", "run_folder", "users"]

TEXTS = {
    "ann": "Liked: Heat; Ronin; Casino.",
    "bob": "Liked: Heat; Ronin; Collateral.",
    "cat": "Liked: Grease; Cabaret; Chicago.",
}


@pytest.fixture
def retriever():
    return CollaborativeRetriever.from_texts(TEXTS, encoder=WordEncoder(), similarity_top_k=2)


@pytest.fixture(scope="module")
def recommender(toy_run):
    return open_recommender(toy_run)


@pytest.fixture(scope="module")
def run_folder(toy_parts):
    return toy_parts.folder("retriever").parent


def users(nodes) -> list[str]:
    return [node.metadata["user_id"] for node in nodes]


def answers(nodes) -> list[tuple[str, float]]:
    return [(node.node_id, node.score) for node in nodes]
