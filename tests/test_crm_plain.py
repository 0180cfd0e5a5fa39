"""Recommenders served without torch: a trained network in numpy says what it says in torch."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from score_rag.crm.plain import PlainNetwork
from score_rag.crm.registry import make_model, read_model

MODELS = [
    ("lightgcn", {"dim": 16, "layers": 2}),
    ("lightgcn", {"dim": 16, "loss": "softmax"}),
    ("din", {"dim": 16}),
    ("mf", {"dim": 16}),
    ("mf", {"dim": 16, "loss": "softmax", "content": False}),
    ("sasrec", {"dim": 16, "layers": 2, "heads": 2}),
    ("sasrec", {"dim": 16, "layers": 1, "loss": "softmax", "content": False}),
]


@pytest.fixture(params=MODELS, ids=lambda given: f"{given[0]}-{'-'.join(map(str, given[1].values()))}")
def pair(request, toy, tmp_path):
    """A recommender as it was trained, in torch, and as it is read from disk."""
    kind, settings = request.param
    trained = make_model(kind, **settings).fit(toy, epochs=3, batch_size=32, seed=0, device="cpu")
    trained.save_pretrained(tmp_path)
    return trained, read_model(tmp_path).bind(toy.log)


def test_both_forms_give_the_same_vectors_and_scores(pair, toy):
    trained, read = pair
    assert isinstance(read._network, PlainNetwork) and not isinstance(trained._network, PlainNetwork)
    users = list(toy.log.users)
    middle = int(toy.events["timestamp"].median())
    for when in (None, middle):
        vectors = trained.user_vectors(users, as_of=when)
        np.testing.assert_allclose(read.user_vectors(users, as_of=when), vectors, atol=1e-5)
        assert np.abs(vectors).max() > 1e-3
        scores = trained.score_catalogue(users, as_of=when)
        np.testing.assert_allclose(read.score_catalogue(users, as_of=when), scores, atol=2e-5)
        assert scores.std() > 1e-4
    stranger = toy.log.before(users[0], None)[:3]
    np.testing.assert_allclose(read.score_history(stranger, read.item_ids), trained.score_history(stranger, trained.item_ids), atol=2e-5)
    nobody = read.score_history([], read.item_ids)
    np.testing.assert_allclose(nobody, trained.score_history([], trained.item_ids), atol=2e-5)


def test_what_was_read_is_written_again_unchanged(pair, tmp_path):
    _, read = pair
    read.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (tmp_path / "model.safetensors").read_bytes()


def test_a_finished_recommender_answers_without_importing_torch(pair, tmp_path):
    code = (
        "import sys; from score_rag.crm.registry import read_model; "
        f"model = read_model({str(tmp_path)!r}); model.score_history([], model.item_ids); print('torch' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"
