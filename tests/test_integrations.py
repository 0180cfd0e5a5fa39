"""Retriever, reranker and embedding in other people's apps: engines, fusion, agents, ingestion, LangChain's own suite."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest
from app_world import TEXTS, retriever, seen, users  # noqa: F401
from langchain_tests.integration_tests import RetrieversIntegrationTests
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import Document, QueryBundle
from llama_index.core.tools import RetrieverTool

from score_rag import CollaborativeRetriever, SelfAssessingReranker, UserQuery
from score_rag.encoders.encoder import ModelEncoder, TextEncoder
from score_rag.errors import InputError, ModelError
from score_rag.index.reader import BehaviourIndex, documents_of
from score_rag.index.writer import build_index
from score_rag.integrations.langchain import CollaborativeLangChainRetriever
from score_rag.integrations.llama_index import TrainedEmbedding
from score_rag.testing import WordEncoder


class Words(BaseEmbedding):
    """A LlamaIndex embedding model that reads words as `WordEncoder` does."""

    model_name: str = "words"

    def _get_text_embedding(self, text: str) -> list[float]:
        return (3 * WordEncoder().encode([text])[0]).tolist()

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


def test_a_reranker_is_made_again_from_what_llama_index_writes_down(toy_parts):
    first = SelfAssessingReranker.from_pretrained(toy_parts.folder("reranker"), top_n=3)
    second = SelfAssessingReranker.from_dict(json.loads(first.to_json()))
    assert second.to_dict() == first.to_dict() and (second.top_n, second.max_tokens) == (3, 96)
    nodes, asked = toy_parts.retriever.retrieve(UserQuery(user_id="0")), QueryBundle("Liked: Sunny Garden.")
    one, other = (reranker.postprocess_nodes(nodes, query_bundle=asked) for reranker in (first, second))
    assert [(node.node_id, node.score) for node in one] == [(node.node_id, node.score) for node in other]
    with pytest.raises(ModelError, match="missing"):
        SelfAssessingReranker.from_dict({**first.to_dict(), "model_folder": "nowhere"})
    with pytest.raises(InputError, match="needs a model"):
        SelfAssessingReranker()


def test_an_embedding_is_made_again_from_what_llama_index_writes_down(toy_parts):
    folder = toy_parts.folder("retriever") / "encoder"
    first = TrainedEmbedding(TextEncoder(folder), embed_batch_size=16)
    second = TrainedEmbedding.from_dict(json.loads(first.to_json()))
    assert second.to_dict() == first.to_dict() and second.embed_batch_size == 16
    assert second.get_text_embedding("Liked: Sunny Garden.") == first.get_text_embedding("Liked: Sunny Garden.")
    with pytest.raises(ModelError, match="another encoder"):
        TrainedEmbedding.from_dict({**first.to_dict(), "model_name": "score-rag/another"})
    in_memory = TrainedEmbedding(WordEncoder())
    assert in_memory.encoder_folder is None
    with pytest.raises(InputError, match="needs an encoder"):
        TrainedEmbedding.from_dict(in_memory.to_dict())


def test_texts_alone_make_a_retriever_and_nobody_is_their_own_neighbour(retriever):
    assert set(users(retriever.retrieve("Liked: Heat; Ronin."))) == {"ann", "bob"}
    assert users(retriever.retrieve(UserQuery("Liked: Heat; Ronin.", user_id="ann")))[0] == "bob"
    assert users(retriever.retrieve(UserQuery(user_id="ann")))[0] == "bob", "somebody in the index needs no words"
    numbered = CollaborativeRetriever.from_texts({42: "Liked: Heat.", 43: "Liked: Grease."}, encoder=WordEncoder())
    assert users(numbered.retrieve(UserQuery("Liked: Heat.", user_id=42))) == ["43"], "a number names the same user"
    assert len(retriever.retrieve(UserQuery("Liked: Heat.", top_k=3))) == 3
    with pytest.raises(InputError, match="no texts"):
        CollaborativeRetriever.from_texts({}, encoder=WordEncoder())


def test_embedding_models_of_llama_index_are_encoders_too():
    retriever = CollaborativeRetriever.from_texts(TEXTS, encoder=Words(), similarity_top_k=2)
    assert set(users(retriever.retrieve("Heat Ronin"))) == {"ann", "bob"}
    assert asyncio.run(retriever.aretrieve("Grease"))[0].metadata["user_id"] == "cat"
    np.testing.assert_allclose(np.linalg.norm(retriever.index.vectors, axis=1), 1, atol=1e-6)
    assert ModelEncoder(Words()).fingerprint != ModelEncoder(Words(model_name="another")).fingerprint


def test_the_bundled_encoder_serves_untrained_and_is_exported_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    retriever = CollaborativeRetriever.from_texts({**TEXTS, "eva": "Liked: musicals with singing and dancing."})
    assert users(retriever.retrieve("people who love song and dance films"))[0] in ("eva", "cat")
    made = sorted(tmp_path.rglob("model.onnx"))
    stamp = made[0].stat().st_mtime_ns
    assert TextEncoder.untrained().fingerprint == retriever.encoder.fingerprint
    assert sorted(tmp_path.rglob("model.onnx")) == made and made[0].stat().st_mtime_ns == stamp


def test_it_works_inside_a_query_engine_fusion_and_an_agent_s_tool(retriever):
    engine = RetrieverQueryEngine.from_args(retriever, llm=MockLLM())
    answer = engine.query(UserQuery("Liked: Heat; Ronin.", user_id="ann"))
    assert users(answer.source_nodes)[0] == "bob" and "user_id" not in str(answer)
    fused = QueryFusionRetriever([retriever, retriever], llm=MockLLM(), num_queries=1, use_async=False, similarity_top_k=2)
    assert set(users(fused.retrieve("Liked: Heat; Ronin."))) == {"ann", "bob"}
    asked = asyncio.run(fused.aretrieve("Liked: Heat; Ronin."))
    assert set(users(asked)) == {"ann", "bob"}
    tool = RetrieverTool.from_defaults(retriever, description="Finds people of a like taste.")
    assert "Grease" in tool.call("Liked: Cabaret; Chicago.").content
    assert "Grease" in asyncio.run(tool.acall("Liked: Cabaret; Chicago.")).content


def test_nodes_are_fresh_and_hide_what_is_not_text(retriever):
    first = retriever.retrieve("Liked: Heat; Ronin.")
    first[0].node.text = "changed"
    first[0].node.metadata["user_id"] = "nobody"
    again = retriever.retrieve("Liked: Heat; Ronin.")
    assert again[0].text.startswith("Liked:") and again[0].metadata["user_id"] != "nobody"
    for mode in ("llm", "embed"):
        assert again[0].node.get_content(metadata_mode=mode) == again[0].text


def test_an_ingestion_pipeline_can_feed_a_collection_that_we_retrieve_from(tmp_path):
    import chromadb
    from llama_index.vector_stores.chroma import ChromaVectorStore

    client = chromadb.PersistentClient(path=str(tmp_path), settings=chromadb.Settings(anonymized_telemetry=False))
    collection = client.create_collection("theirs", embedding_function=None, configuration={"hnsw": {"space": "cosine"}})
    store = ChromaVectorStore(chroma_collection=collection)
    documents = [
        Document(text=text, metadata={"customer": user, "seen": 10 * number}, excluded_embed_metadata_keys=["customer", "seen"])
        for number, (user, text) in enumerate(TEXTS.items())
    ]
    IngestionPipeline(transformations=[Words()], vector_store=store).run(documents=documents)
    retriever = CollaborativeRetriever.from_vector_store(store, encoder=Words(), user_key="customer", time_key="seen", similarity_top_k=2)
    assert set(users(retriever.retrieve("Liked: Heat; Ronin."))) == {"ann", "bob"}
    assert users(retriever.retrieve(UserQuery("Liked: Heat; Ronin.", user_id="ann")))[0] == "bob"
    assert users(retriever.retrieve(UserQuery("Liked: Heat; Ronin.", as_of=10))) == ["ann"]
    assert users(asyncio.run(retriever.aretrieve(UserQuery("Liked: Alien.", user_id="ann"))))[0] == "dan"
    again = Document(text="Liked: Heat; Ronin.", metadata={"customer": "ann", "seen": 5}, excluded_embed_metadata_keys=["customer", "seen"])
    IngestionPipeline(transformations=[Words()], vector_store=store).run(documents=[again])
    assert sorted(users(retriever.retrieve("Liked: Heat; Ronin."))) == ["ann", "bob"], "each user is told of once"
    plain = CollaborativeRetriever.from_vector_store(store, encoder=Words(), user_key="customer")
    with pytest.raises(InputError, match="no times"):
        plain.retrieve(UserQuery("Liked: Heat.", as_of=10))
    with pytest.raises(InputError, match="whose behaviour"):
        CollaborativeRetriever.from_vector_store(store, encoder=Words()).retrieve("Liked: Heat.")


def test_our_own_collection_is_read_by_llama_index_itself(tmp_path):
    from llama_index.core import VectorStoreIndex
    from llama_index.vector_stores.chroma import ChromaVectorStore

    build_index(documents_of(TEXTS), WordEncoder(), tmp_path)
    collection = BehaviourIndex.open(tmp_path, WordEncoder()).store.collection
    index = VectorStoreIndex.from_vector_store(ChromaVectorStore(chroma_collection=collection), embed_model=Words())
    found = index.as_retriever(similarity_top_k=2).retrieve("Liked: Heat; Ronin.")
    assert set(users(found)) == {"ann", "bob"} and found[0].text.startswith("Liked: Heat")


async def test_many_questions_at_once_get_the_answers_they_get_alone(toy_parts):
    retriever = toy_parts.retriever
    texts = retriever.index.documents["text"].to_list()[:12]
    together = await asyncio.gather(*(retriever.aretrieve(UserQuery(text, user_id="0")) for text in texts))
    alone = [retriever.retrieve(UserQuery(text, user_id="0")) for text in texts]
    assert [[n.node_id for n in nodes] for nodes in together] == [[n.node_id for n in nodes] for nodes in alone]


class TestLangChain(RetrieversIntegrationTests):
    """The suite that LangChain publishes for retrievers."""

    @property
    def retriever_constructor(self):
        return CollaborativeLangChainRetriever

    @property
    def retriever_constructor_params(self):
        return {"retriever": CollaborativeRetriever.from_texts(TEXTS, encoder=WordEncoder(), similarity_top_k=2)}

    @property
    def retriever_query_example(self):
        return "Liked: Heat; Ronin."


def test_langchain_gets_users_scores_and_times(toy_parts):
    folder = toy_parts.folder("retriever")
    retriever = CollaborativeLangChainRetriever.from_pretrained(folder, k=4)
    text = toy_parts.retriever.index.documents["text"][0]
    found = retriever.invoke(text, user_id="3")
    ours = toy_parts.retriever.retrieve(UserQuery(text, user_id="3", top_k=4))
    assert [(d.metadata["user_id"], d.page_content, d.id) for d in found] == [(n.metadata["user_id"], n.text, n.node_id) for n in ours]
    assert [d.metadata["score"] for d in found] == pytest.approx([n.score for n in ours])
    now = int(toy_parts.index.documents["known_until"].median())
    assert all(d.metadata["known_until"] < now for d in retriever.invoke(text, as_of=now))
    assert len(asyncio.run(retriever.ainvoke(text, k=2))) == 2
