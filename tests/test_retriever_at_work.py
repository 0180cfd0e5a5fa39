"""What a retriever does while it works: events, embeddings, updates, and an event loop that goes on."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from app_world import TEXTS, retriever, seen, users  # noqa: F401
from llama_index.core.bridge.pydantic import Field
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.schema import QueryBundle

from score_rag import CollaborativeRetriever, SelfAssessingReranker, UserQuery
from score_rag.errors import InputError, ModelError
from score_rag.index.reader import BehaviourIndex, documents_of
from score_rag.index.writer import build_index, update_index
from score_rag.reranker.pair_texts import PairTexts
from score_rag.testing import WordEncoder


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
