"""CAR: the loss, the index, the retriever; trained in the toy world."""

from __future__ import annotations

import asyncio
import json
import math
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.schema import QueryBundle
from run_copies import reseal

from score_rag import CollaborativeRetriever, UserQuery
from score_rag.cli.remedies import advice
from score_rag.documents.versions import FOREVER
from score_rag.encoders.encoder import TextEncoder, find_encoder
from score_rag.errors import IndexMismatchError, InputError, ModelError
from score_rag.retriever.examples import Neighbourhood, contrastive_batches, newest_texts
from score_rag.retriever.loss import contrastive_loss


@given(st.integers(2, 7), st.integers(0, 10_000))
def test_the_loss_is_the_paper_s_sum_over_pairs(n, seed):
    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(n, 4))
    positive = generator.random((n, n)) < 0.4
    np.fill_diagonal(positive, False)
    negative = ~positive
    np.fill_diagonal(negative, False)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    g = np.exp(unit @ unit.T / 0.2)
    terms = [-math.log(g[u, v] / (g[u, v] + g[u][negative[u]].sum())) for u in range(n) for v in range(n) if positive[u, v]]
    value = float(contrastive_loss(torch.tensor(vectors), torch.tensor(positive), torch.tensor(negative), 0.2))
    assert value == pytest.approx(np.mean(terms) if terms else 0.0, abs=1e-5)


def test_batches_meet_every_trained_user_beside_a_neighbour_and_no_held_out_one():
    ring = np.array([[(user + 1) % 30, (user + 2) % 30] for user in range(30)])
    world = Neighbourhood([str(n) for n in range(30)], ring, [[f"old {n}", f"new {n}"] for n in range(30)])
    held = world.hold_out(0.2, 0)
    batches = contrastive_batches(world, held, batch_size=8, seed=0)
    met = {number for batch in batches for _, number in batch}
    assert held.sum() == 6 and met <= set(np.flatnonzero(~held).tolist()) and len(met) >= 20
    assert all(text.split()[1] == str(number) for batch in batches for text, number in batch)


def test_training_brought_users_of_a_taste_together(toy_parts):
    found = [toy_parts.retriever.retrieve(UserQuery(user_id=user)) for user in toy_parts.interactions.train_log.users]
    for user, nodes in zip(toy_parts.interactions.train_log.users, found, strict=True):
        assert user not in [node.metadata["user_id"] for node in nodes]
    same = [
        int(node.metadata["user_id"]) % 2 == n % 2
        for n, nodes in ((int(u), f) for u, f in zip(toy_parts.interactions.train_log.users, found, strict=True))
        for node in nodes[:3]
    ]
    assert np.mean(same) > 0.8


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 23), st.one_of(st.none(), st.integers(0, 70)))
def test_store_array_and_brute_force_give_the_same_neighbours(toy_parts, user, percent):
    index, frame = toy_parts.retriever.index, toy_parts.retriever.index.documents
    start, end = frame["known_until"].min(), frame["known_until"].max()
    now = None if percent is None else int(start + (end - start) * percent / 100)
    vector = np.asarray(index.vectors[user])
    time = FOREVER if now is None else now
    visible = [
        place
        for place, (owner, until, superseded) in enumerate(frame.select("user_id", "known_until", "superseded_at").iter_rows())
        if owner != str(user) and until < time <= superseded
    ]
    expected = sorted((-float(vector @ index.vectors[place]), frame["document_id"][place]) for place in visible)[:5]
    (exact,) = index.search(vector[None], 5, as_of=[now], exclude=[str(user)])
    (exact_alone,) = [index.query(vector, 5, as_of=now, exclude_user=str(user))]
    index.exact_below, before = 0, index.exact_below
    stored = index.query(vector, 5, as_of=now, exclude_user=str(user))
    index.exact_below = before
    for hits in (exact, exact_alone, stored):
        np.testing.assert_allclose([hit.score for hit in hits], [-score for score, _ in expected], atol=1e-5)
        # Of documents as near as the last one, which differ by less than rounding, any may be taken.
        sure = {name for score, name in expected if -score > -expected[-1][0] + 1e-5}
        assert sure <= {hit.document_id for hit in hits} and not {hit.document_id for hit in hits} & {f"{user}@{n}" for n in range(9)}


def test_a_plain_string_a_bundle_and_a_user_query_are_all_taken(toy_parts):
    retriever = toy_parts.retriever
    text = next(iter(newest_texts(retriever.index.documents).values()))
    plain, bundle = retriever.retrieve(text), retriever.retrieve(QueryBundle(text))
    assert [n.node_id for n in plain] == [n.node_id for n in bundle] and len(plain) == retriever.similarity_top_k
    owner = plain[0].metadata["user_id"]
    assert plain[0].score == pytest.approx(1.0, abs=1e-4)
    assert owner not in [n.metadata["user_id"] for n in retriever.retrieve(UserQuery(text, user_id=owner))]
    again = asyncio.run(retriever.aretrieve(UserQuery(text, user_id=owner)))
    assert [n.node_id for n in again] == [n.node_id for n in retriever.retrieve(UserQuery(text, user_id=owner))]
    assert all("user_id" not in n.node.get_content(metadata_mode="llm") for n in plain)
    with pytest.raises(InputError, match="nothing to retrieve by"):
        retriever.retrieve(UserQuery("", user_id="nobody"))


def test_the_served_encoder_is_the_trained_one(toy_run, toy_parts):
    from sentence_transformers import SentenceTransformer

    folder = toy_parts.folder("retriever") / "encoder"
    texts = [*toy_parts.retriever.index.documents["text"].to_list()[:9], "a", "Liked: Heat."]
    model = SentenceTransformer(str(folder), local_files_only=True, device="cpu")
    theirs = model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    np.testing.assert_allclose(TextEncoder.from_pretrained(folder).encode(texts), theirs, atol=1e-4)


def test_many_texts_may_be_embedded_by_torch_in_either_precision(toy_parts):
    from score_rag.encoders.torch_encoder import BulkEncoder, indexing_encoder

    folder = toy_parts.folder("retriever") / "encoder"
    texts = [*toy_parts.index.documents["text"].to_list(), "a"]
    serving = toy_parts.encoder.encode(texts)
    bulk = BulkEncoder(folder)
    assert bulk.fingerprint == toy_parts.encoder.fingerprint
    np.testing.assert_allclose(bulk.encode(texts), serving, atol=1e-5)
    half = BulkEncoder(folder, dtype="bfloat16").encode(texts)
    assert (half * serving).sum(axis=1).min() > 0.999 and np.abs(half - serving).max() > 0
    np.testing.assert_allclose(asyncio.run(bulk.aencode(texts[:3])), serving[:3], atol=1e-5)
    assert indexing_encoder(folder).fingerprint == bulk.fingerprint


def test_an_index_of_another_encoder_or_a_broken_one_is_refused(toy_parts, tmp_path):
    shutil.copytree(toy_parts.folder("retriever"), tmp_path / "retriever")
    file = tmp_path / "retriever" / "index" / "index.json"
    good = file.read_text()
    file.write_text(json.dumps({**json.loads(good), "encoder": "somebody else's"}))
    with pytest.raises(IndexMismatchError, match="not what was written"):
        CollaborativeRetriever.from_pretrained(tmp_path / "retriever")
    reseal(tmp_path / "retriever" / "index" / "000001")
    with pytest.raises(IndexMismatchError, match="another encoder") as caught:
        CollaborativeRetriever.from_pretrained(tmp_path / "retriever")
    assert advice(caught.value).startswith("score-rag index rebuild PIPELINE --folder ")
    file.unlink()
    with pytest.raises(IndexMismatchError, match="no finished index"):
        CollaborativeRetriever.from_pretrained(tmp_path / "retriever")
    with pytest.raises(ModelError, match="no trained retriever"):
        CollaborativeRetriever.from_pretrained(tmp_path / "nowhere")


def test_an_encoder_that_is_not_here_is_named_with_what_to_do(tmp_path):
    with pytest.raises(ModelError, match="not on this disk") as caught:
        find_encoder("nobody/has-this-encoder")
    assert advice(caught.value).endswith("; without: --set retriever.encoder=bundled")
    with pytest.raises(ModelError, match="holds no encoder"):
        find_encoder(str(tmp_path))


def test_embedded_weights_of_another_digest_are_not_used(monkeypatch):
    monkeypatch.setattr("score_rag.encoders.encoder._SHA256", "0" * 64)
    with pytest.raises(ModelError, match="not the well-known ones"):
        find_encoder("bundled")
