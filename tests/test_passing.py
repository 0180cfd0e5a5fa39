"""A reranker whose model is missing: an error at once, or a pass-through that says so, in every form of the reranker."""

from __future__ import annotations

import asyncio
import shutil

import pytest
from langchain_core.documents import Document
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.schema import NodeWithScore, TextNode

from score_rag import SelfAssessingReranker, UserQuery
from score_rag.errors import ScoreError
from score_rag.integrations.langchain_reranker import SelfAssessingCompressor

QUERY = UserQuery("Liked: Sunny Garden.", target="Merry Street (1982).")


def nodes():
    return [
        NodeWithScore(node=TextNode(id_=str(n), text=f"Liked: Film {n}.", metadata={"user_id": str(n)}), score=1 - n / 10) for n in range(5)
    ]


@pytest.fixture(params=["nothing", "empty", "torn model", "no tokenizer", "torn settings"])
def broken(request, toy_parts, tmp_path):
    """A reranker's folder that cannot be opened."""
    folder = tmp_path / "reranker"
    if request.param == "nothing":
        return folder
    folder.mkdir()
    if request.param != "empty":
        shutil.copytree(toy_parts.folder("reranker"), folder, dirs_exist_ok=True)
    if request.param == "torn model":
        (folder / "model" / "model.onnx").write_bytes(b"torn")
    if request.param == "no tokenizer":
        (folder / "model" / "tokenizer.json").unlink()
    if request.param == "torn settings":
        (folder / "reranker.json").write_text("{")
    return folder


def test_without_a_model_it_raises_unless_it_may_pass(broken):
    for part in (SelfAssessingReranker, SelfAssessingCompressor):
        with pytest.raises(ScoreError):
            part.from_pretrained(broken)


def test_nodes_pass_through_flagged_in_the_retriever_s_order_after_one_warning(broken):
    with pytest.warns(RuntimeWarning, match="cannot be opened, so nothing is reranked") as warned:
        reranker = SelfAssessingReranker.from_pretrained(broken, top_n=3, if_missing="pass")
    assert len(warned) == 1 and not reranker.reranks
    given = nodes()
    # Warnings are errors here: it says nothing again.
    for kept in (
        reranker.postprocess_nodes(given, query_bundle=QUERY),
        asyncio.run(reranker.apostprocess_nodes(given, query_bundle=QUERY)),
    ):
        assert [one.node_id for one in kept] == ["0", "1", "2"] and [one.score for one in kept] == [one.score for one in given[:3]]
        assert all(one.metadata["reranked"] is False and one.metadata["retriever_score"] == one.score for one in kept)
    assert all("reranked" not in one.metadata for one in given)
    documents = [Document(page_content=f"Liked: Film {n}.") for n in range(4)]
    with pytest.warns(RuntimeWarning, match="nothing is reranked"):
        compressor = SelfAssessingCompressor.from_pretrained(broken, top_n=2, if_missing="pass")
    kept = compressor.compress_documents(documents, "Liked: Heat.")
    assert [one.page_content for one in kept] == ["Liked: Film 0.", "Liked: Film 1."] and all(
        one.metadata == {"reranked": False} for one in kept
    )


def test_one_made_again_from_its_dictionary_passes_or_ranks_as_its_model_allows(toy_parts, tmp_path):
    with pytest.warns(RuntimeWarning):
        reranker = SelfAssessingReranker.from_pretrained(tmp_path, top_n=2, if_missing="pass")
    with pytest.warns(RuntimeWarning):
        again = SelfAssessingReranker.from_dict(reranker.to_dict())
    assert not again.reranks and len(again.postprocess_nodes(nodes(), query_bundle=QUERY)) == 2
    # The model has come back: whoever is made now ranks.
    shutil.copytree(toy_parts.folder("reranker") / "model", tmp_path / "model")
    assert SelfAssessingReranker.from_dict(reranker.to_dict()).reranks


def test_a_model_that_is_there_ranks_and_says_so(toy_parts):
    seen = []

    class Handler(BaseEventHandler):
        def handle(self, event, **_):
            seen.append(event.class_name())

    root = get_dispatcher()
    root.add_event_handler(Handler())
    try:
        for choice in ("raise", "pass"):
            reranker = SelfAssessingReranker.from_pretrained(toy_parts.folder("reranker"), top_n=3, if_missing=choice)
            kept = reranker.postprocess_nodes(nodes(), query_bundle=QUERY)
            assert reranker.reranks and all(one.metadata["reranked"] is True for one in kept)
            assert "reranked" in kept[0].node.excluded_llm_metadata_keys
    finally:
        root.event_handlers.pop()
    assert seen.count("ReRankEndEvent") == 2
