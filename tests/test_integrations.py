"""The retriever in other people's apps: LlamaIndex engines, fusion, agents, ingestion, events, an event loop; LangChain's own suite."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from langchain_tests.integration_tests import RetrieversIntegrationTests
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import Field
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.span import SpanDropEvent
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import Document, QueryBundle
from llama_index.core.tools import RetrieverTool

from score_rag import CollaborativeRetriever, SelfAssessingReranker, UserQuery
from score_rag.encoders.encoder import ModelEncoder, TextEncoder
from score_rag.errors import InputError, ModelError
from score_rag.index.reader import BehaviourIndex, documents_of
from score_rag.index.writer import build_index, update_index
from score_rag.integrations.langchain import CollaborativeLangChainRetriever
from score_rag.integrations.llama_index import TrainedEmbedding
from score_rag.reranker.pair_texts import PairTexts
from score_rag.testing import WordEncoder

TEXTS = {
    "ann": "Liked: Heat; Ronin; Casino.",
    "bob": "Liked: Heat; Ronin; Collateral.",
    "cat": "Liked: Grease; Cabaret; Chicago.",
    "dan": "Liked: Alien; Predator; Tremors.",
}


class Words(BaseEmbedding):
    """A LlamaIndex embedding model that reads words as `WordEncoder` does."""

    model_name: str = "words"

    def _get_text_embedding(self, text: str) -> list[float]:
        return (3 * WordEncoder().encode([text])[0]).tolist()

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


@pytest.fixture
def retriever():
    return CollaborativeRetriever.from_texts(TEXTS, encoder=WordEncoder(), similarity_top_k=2)


def users(nodes) -> list[str]:
    return [node.metadata["user_id"] for node in nodes]


# LlamaIndex


class Seen(BaseEventHandler):
    """Keeps the names of the events that it is told, but for those of spans."""

    names: list[str] = Field(default_factory=list)

    def handle(self, event, **more):
        if not isinstance(event, SpanDropEvent):
            self.names.append(type(event).__name__)


@pytest.fixture
def seen():
    handler, dispatcher = Seen(), get_dispatcher()
    dispatcher.add_event_handler(handler)
    yield handler
    dispatcher.event_handlers.remove(handler)


class Broken(WordEncoder):
    """An encoder that has lost its model."""

    def encode(self, texts, **more):
        raise ModelError("it broke")

    async def aencode(self, texts):
        raise ModelError("it broke")


@pytest.mark.parametrize("awaited", [False, True])
def test_what_begins_ends_in_failures_too(retriever, seen, awaited):
    def ask():
        return asyncio.run(retriever.aretrieve("Liked: Heat.")) if awaited else retriever.retrieve("Liked: Heat.")

    retriever.encoder = Broken()
    with pytest.raises(ModelError, match="it broke"):
        ask()
    assert seen.names == ["RetrievalStartEvent", "EmbeddingStartEvent", "EmbeddingEndEvent", "ExceptionEvent", "RetrievalEndEvent"]
    retriever.encoder = WordEncoder()
    seen.names.clear()
    assert len(ask()) == 2
    assert seen.names == ["RetrievalStartEvent", "EmbeddingStartEvent", "EmbeddingEndEvent", "RetrievalEndEvent"]
    seen.names.clear()
    with pytest.raises(InputError, match="nothing to retrieve by"):
        retriever.retrieve(UserQuery(user_id="nobody"))
    assert seen.names == ["RetrievalStartEvent", "ExceptionEvent", "RetrievalEndEvent"]


class Scorer:
    """Stands for a cross-encoder."""

    folder, max_tokens, texts = Path("runs/x/reranker/model"), 96, PairTexts.shipped()

    def __init__(self, *, broken: bool = False) -> None:
        self.broken = broken

    def score_pairs(self, queries, behaviours):
        if self.broken:
            raise ModelError("it broke")
        return np.arange(len(queries), dtype=np.float32)


def test_a_reranking_that_begins_ends_in_failures_too(retriever, seen):
    nodes, asked = retriever.retrieve("Liked: Heat."), QueryBundle("Liked: Heat.")
    seen.names.clear()
    with pytest.raises(ModelError, match="it broke"):
        SelfAssessingReranker(Scorer(broken=True)).postprocess_nodes(nodes, query_bundle=asked)
    assert seen.names == ["ReRankStartEvent", "ExceptionEvent", "ReRankEndEvent"]
    seen.names.clear()
    SelfAssessingReranker(Scorer()).postprocess_nodes(nodes, query_bundle=asked)
    assert seen.names == ["ReRankStartEvent", "ReRankEndEvent"]


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


def test_a_query_is_embedded_once_and_not_at_all_where_it_brings_its_vector(retriever):
    retriever.encoder.embedded.clear()
    for user in ("ann", "bob", None):
        retriever.retrieve(UserQuery("Liked: Heat.", user_id=user))
    asyncio.run(retriever.aretrieve("Liked: Heat."))
    assert retriever.encoder.embedded == ["Liked: Heat."]
    vector = (5 * WordEncoder().encode(["Grease"])[0]).tolist()
    found = retriever.retrieve(QueryBundle("whatever it says", embedding=vector))
    assert users(found)[0] == "cat" and found[0].score <= 1 and len(retriever.encoder.embedded) == 1


def test_events_tell_of_the_question_and_of_its_embedding(retriever):
    class Keep(BaseEventHandler):
        names: list[str] = Field(default_factory=list)

        def handle(self, event, **_) -> None:
            self.names.append(event.class_name())

    root, keep = get_dispatcher(), Keep()
    root.add_event_handler(keep)
    try:
        retriever.retrieve("Liked: Heat.")
        retriever.retrieve("Liked: Heat.")
        asyncio.run(retriever.aretrieve("Liked: Ronin."))
    finally:
        root.event_handlers.remove(keep)
    asked, embedded = ["RetrievalStartEvent", "RetrievalEndEvent"], ["EmbeddingStartEvent", "EmbeddingEndEvent"]
    assert keep.names == [asked[0], *embedded, asked[1], *asked, asked[0], *embedded, asked[1]]


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


def test_a_retriever_sees_an_update_with_its_next_question(tmp_path):
    encoder = WordEncoder()
    build_index(documents_of(TEXTS), encoder, tmp_path)
    retriever = CollaborativeRetriever(BehaviourIndex.open(tmp_path, encoder), encoder, similarity_top_k=1)
    assert users(retriever.retrieve("Liked: operas.")) != ["eva"]
    update_index(tmp_path, encoder, documents_of({"eva": "Liked: operas."}))
    assert users(retriever.retrieve("Liked: operas.")) == ["eva"]


class SlowWords(WordEncoder):
    """An encoder that takes its time in a thread, as a large model does."""

    async def aencode(self, texts):
        return await asyncio.to_thread(self._slowly, texts)

    def _slowly(self, texts):
        time.sleep(0.1)
        return self.encode(texts)


async def longest_block(work) -> float:
    """Seconds that the event loop stood still, at most, while `work` went on."""
    longest, done = 0.0, False

    async def watch() -> None:
        nonlocal longest
        while not done:
            started = time.perf_counter()
            await asyncio.sleep(0.005)
            longest = max(longest, time.perf_counter() - started - 0.005)

    watcher = asyncio.create_task(watch())
    await asyncio.sleep(0)
    await work
    done = True
    await watcher
    return longest


def test_the_event_loop_goes_on_while_a_question_is_embedded_and_searched_for():
    """The same work, done in the loop, is what the detector detects."""
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(150_000, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    documents = documents_of({str(n): f"user {n}" for n in range(len(vectors))})
    encoder = SlowWords()
    retriever = CollaborativeRetriever(BehaviourIndex(documents, vectors), encoder, similarity_top_k=10)
    retriever.retrieve("warm")

    async def ours() -> None:
        for number in range(5):
            await retriever.aretrieve(UserQuery(f"question {number}", as_of=100))

    async def blocking() -> None:
        for number in range(5):
            encoder._slowly([f"question {number}"])
            retriever.retrieve(UserQuery(f"question {number}", as_of=100))

    blocked, free = asyncio.run(longest_block(blocking())), asyncio.run(longest_block(ours()))
    assert free < blocked / 4


def test_the_event_loop_goes_on_while_a_new_generation_is_opened(tmp_path, monkeypatch):
    encoder = WordEncoder()
    build_index(documents_of({str(n): f"user {n}" for n in range(300)}), encoder, tmp_path)
    retriever = CollaborativeRetriever(BehaviourIndex.open(tmp_path, encoder), encoder)
    retriever.index.exact_below = 0
    update_index(tmp_path, encoder, documents_of({"new": "Operas."}))
    threads = set()

    class Watched(BehaviourIndex):
        """Notes who reads and who opens."""

        @classmethod
        def _open(cls, folder, encoder):
            threads.add(threading.current_thread())
            return super()._open(folder, encoder)

        def _prepare(self):
            threads.add(threading.current_thread())
            super()._prepare()

    monkeypatch.setattr("score_rag.index.reader.BehaviourIndex", Watched)
    found = asyncio.run(retriever.aretrieve("Operas."))
    assert users(found)[0] == "new" and threads and threading.main_thread() not in threads


async def test_many_questions_at_once_get_the_answers_they_get_alone(toy_parts):
    retriever = toy_parts.retriever
    texts = retriever.index.documents["text"].to_list()[:12]
    together = await asyncio.gather(*(retriever.aretrieve(UserQuery(text, user_id="0")) for text in texts))
    alone = [retriever.retrieve(UserQuery(text, user_id="0")) for text in texts]
    assert [[n.node_id for n in nodes] for nodes in together] == [[n.node_id for n in nodes] for nodes in alone]


# LangChain


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
