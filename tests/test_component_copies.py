"""Components are copied, pickled, written down and opened out of a run's folders: they answer the same."""

from __future__ import annotations

import asyncio
import copy
import pickle

import pytest
from component_world import answers, recommender, retriever, run_folder, users  # noqa: F401
from langchain_core.load import dumpd
from llama_index.core.schema import QueryBundle

from score_rag import (
    CollaborativeRetriever,
    Predictor,
    RecommendWorkflow,
    SelfAssessingReranker,
    UserQuery,
)
from score_rag.encoders.encoder import TextEncoder
from score_rag.errors import ModelError
from score_rag.integrations.langchain import CollaborativeLangChainRetriever
from score_rag.integrations.llama_index import TrainedEmbedding

COPIES = [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one)), copy.copy]  # noqa: S301  # our own
NAMES = ["deepcopy", "pickle", "copy"]


@pytest.mark.parametrize("again", COPIES, ids=NAMES)
def test_copies_of_retrievers_answer_the_same(again, retriever, run_folder):
    for one, asked in (
        (retriever, UserQuery("Liked: Heat; Ronin.", user_id="ann")),
        (retriever.for_user("ann"), QueryBundle("Liked: Heat; Ronin.")),
        (CollaborativeRetriever.from_pretrained(run_folder, similarity_top_k=3), UserQuery(user_id="0")),
    ):
        expected = answers(one.retrieve(asked))
        other = again(one)
        assert answers(other.retrieve(asked)) == expected and repr(other).split("<")[0] == repr(one).split("<")[0]
        assert answers(asyncio.run(other.aretrieve(asked))) == expected
        langchain = CollaborativeLangChainRetriever(retriever=one, user_id=0)
        text = one.index.documents["text"][0]
        assert again(langchain).invoke(text) == langchain.invoke(text)


@pytest.mark.parametrize("again", COPIES, ids=NAMES)
def test_copies_of_what_is_trained_answer_the_same(again, run_folder, toy_parts, recommender):
    nodes = CollaborativeRetriever.from_pretrained(run_folder).retrieve(UserQuery(user_id="0"))
    reranker = SelfAssessingReranker.from_pretrained(run_folder, top_n=3)
    reranker.top_n = 2
    asked = QueryBundle("Liked: Sunny Garden.")
    expected = answers(reranker.postprocess_nodes(nodes, query_bundle=asked))
    other = again(reranker)
    assert answers(other.postprocess_nodes(nodes, query_bundle=asked)) == expected and len(expected) == 2
    embedding = TrainedEmbedding(TextEncoder.from_pretrained(run_folder))
    assert again(embedding).get_text_embedding("Liked: Heat.") == embedding.get_text_embedding("Liked: Heat.")
    predictor = Predictor.from_pretrained(run_folder)
    predictor.temperature = 2.0
    prompt = recommender.recommend("0", "1").prompt
    assert again(predictor).score([prompt]) == predictor.score([prompt])
    assert again(recommender).recommend("0", "1") == recommender.recommend("0", "1")
    flow = again(RecommendWorkflow.from_run(toy_parts))
    assert asyncio.run(flow.ask("0", "1")).probability == pytest.approx(recommender.recommend("0", "1").probability, abs=1e-6)


def test_a_pickle_is_opened_from_another_working_directory(run_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(run_folder)
    retriever = CollaborativeRetriever.from_pretrained("retriever")
    expected = answers(retriever.retrieve(UserQuery(user_id="0")))
    kept = pickle.dumps(retriever)
    monkeypatch.chdir(tmp_path)
    assert answers(pickle.loads(kept).retrieve(UserQuery(user_id="0"))) == expected  # noqa: S301  # our own


def test_what_frameworks_write_down_can_be_read_again(retriever):
    asked = UserQuery("Liked: Heat.", user_id=42, as_of="2020-01-01", top_k=3)
    assert UserQuery.from_json(asked.to_json()) == asked and asked.to_dict()["as_of"] == 1_577_836_800
    told = dumpd(CollaborativeLangChainRetriever(retriever=retriever))
    assert told["type"] == "not_implemented" and "CollaborativeRetriever(" in told["repr"], "as LangChain says of what holds a model"


def test_repr_says_what_it_is(retriever, run_folder, toy_parts, recommender):
    assert repr(retriever).startswith("CollaborativeRetriever(BehaviourIndex(in memory, 3 users, 3 documents), ")
    assert repr(retriever.for_user("ann", as_of=5)).endswith("similarity_top_k=2, user_id='ann', as_of=5)")
    opened = CollaborativeRetriever.from_pretrained(run_folder)
    for part in (str(run_folder / "retriever" / "index"), "generation", "TextEncoder(", "similarity_top_k=6"):
        assert part in repr(opened)
    assert str(run_folder) in repr(SelfAssessingReranker.from_pretrained(run_folder))
    assert str(run_folder / "predictor") in repr(toy_parts.predictor) and "OnnxEngine" in repr(toy_parts.predictor)
    for one in (recommender, toy_parts, RecommendWorkflow.from_run(toy_parts)):
        assert "'toy'" in repr(one) and " at 0x" not in repr(one)


def test_every_part_is_found_in_its_own_folder_and_in_its_run_s(run_folder, tmp_path):
    for part, kind in (("retriever", CollaborativeRetriever), ("reranker", SelfAssessingReranker), ("predictor", Predictor)):
        kind.from_pretrained(run_folder / part)
        kind.from_pretrained(str(run_folder))
        for folder in (tmp_path, tmp_path / "nowhere"):
            with pytest.raises(ModelError, match=f"no trained {part}"):
                kind.from_pretrained(folder)
    CollaborativeLangChainRetriever.from_pretrained(run_folder)
    fingerprints = {TextEncoder.from_pretrained(run_folder / place).fingerprint for place in (".", "retriever", "retriever/encoder")}
    assert len(fingerprints) == 1
    with pytest.raises(ModelError, match="no trained encoder"):
        TextEncoder.from_pretrained(tmp_path)
