"""Components in other people's hands: bound to a user, asked in many forms, shown, typed."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from component_world import recommender, retriever, users  # noqa: F401
from langchain_core.tools import create_retriever_tool
from llama_index.core.llms import MockLLM
from llama_index.core.retrievers import QueryFusionRetriever

import score_rag
from score_rag import (
    CollaborativeRetriever,
    RecommendWorkflow,
    UserQuery,
    open_recommender,
)
from score_rag.data.log import Event
from score_rag.errors import InputError
from score_rag.integrations.langchain import CollaborativeLangChainRetriever
from score_rag.integrations.tools import similar_users_tool
from score_rag.testing import WordEncoder


def test_a_bound_retriever_leaves_its_user_out_of_plain_texts_fusions_and_tools(retriever):
    assert "ann" in users(retriever.retrieve("Liked: Heat; Ronin."))
    mine = retriever.for_user("ann")
    assert users(mine.retrieve("Liked: Heat; Ronin.")) == ["bob", "cat"]
    assert users(mine.retrieve("")) == ["bob", "cat"], "who is in the index needs no words"
    assert users(mine.retrieve(UserQuery("Liked: Heat; Ronin.", user_id="bob")))[0] == "ann", "a query that names a user is theirs"
    assert "ann" in users(retriever.retrieve("Liked: Heat; Ronin.")), "the first one is as it was"
    llm = MockLLM()
    for one, seen in ((retriever, True), (mine, False)):
        fused = QueryFusionRetriever([one], llm=llm, num_queries=3, use_async=False, similarity_top_k=3)
        assert ("ann" in users(fused.retrieve(UserQuery("Liked: Heat; Ronin.", user_id="ann")))) is seen
    assert retriever.for_user("ann", as_of=0).retrieve("Liked: Heat.") != [] and retriever.for_user(None, as_of=-5).retrieve("x") == []


def test_an_agent_s_tool_names_users_and_knows_whom_it_serves(retriever):
    free, mine, then = similar_users_tool(retriever), similar_users_tool(retriever, user_id="ann"), similar_users_tool(retriever, as_of=-5)
    asked = [list(tool.metadata.get_parameters_dict()["properties"]) for tool in (free, mine, then)]
    assert asked == [["behaviour", "user_id", "as_of"], ["behaviour"], ["behaviour", "user_id"]]
    text = "Liked: Heat; Ronin."
    told = free.call(behaviour=text, user_id="bob").content.splitlines()
    assert told[0].startswith("user ann (") and told[0].endswith(": Liked: Heat; Ronin; Casino.") and len(told) == 2
    assert "user ann" not in mine.call(behaviour=text).content
    assert asyncio.run(mine.acall(behaviour=text)).content == mine.call(behaviour=text).content
    assert free.call(behaviour=text, as_of="1960-01-01").content == then.call(behaviour=text).content == "No similar user was found."
    assert users(mine.call(behaviour=text).raw_output) == ["bob", "cat"]
    assert json.dumps(mine.metadata.to_openai_tool()).count("behaviour") >= 2


def test_a_langchain_tool_of_a_bound_retriever_leaves_its_user_out(retriever):
    bound = CollaborativeLangChainRetriever(retriever=retriever, user_id="ann", k=2)
    tool = create_retriever_tool(bound, "similar_users", "Finds users of a like taste.")
    assert "Casino" not in tool.invoke({"query": "Liked: Heat; Ronin."}) and "Collateral" in tool.invoke({"query": "Liked: Heat; Ronin."})
    assert next(one.metadata["user_id"] for one in bound.invoke("Liked: Heat; Ronin.", user_id="bob")) == "ann"


@pytest.mark.parametrize(
    ("ask", "where"),
    [
        (lambda one: one.retrieve("a\ud800b"), "the query"),
        (lambda one: one.retrieve(UserQuery("x", user_id="a\ud800")), "user_id"),
        (lambda one: UserQuery("x", target="\udc80"), "target"),
        (lambda one: UserQuery("x", top_k=0), "top_k"),
        (lambda one: UserQuery("x", user_id=1.5), "user_id"),
        (lambda one: UserQuery("x", as_of=1_577_836_800_000), "as_of"),
        (lambda one: CollaborativeRetriever(one.index, one.encoder, similarity_top_k=-1), "similarity_top_k"),
        (lambda one: CollaborativeRetriever.from_texts({"a": "\ud800"}, encoder=WordEncoder()), "the text of user 'a'"),
        (lambda one: CollaborativeLangChainRetriever(retriever=one).invoke("x", k=0), "top_k"),
        (lambda one: CollaborativeLangChainRetriever(retriever=one, as_of="soon"), "as_of"),
    ],
)
def test_arguments_are_checked_where_they_enter(retriever, ask, where):
    with pytest.raises(InputError) as caught:
        ask(retriever)
    assert caught.value.where == where


def test_times_and_ids_have_many_forms(retriever):
    moment = datetime(2020, 1, 1, tzinfo=UTC)
    forms = [UserQuery("x", user_id=42, as_of=one) for one in (moment, "2020-01-01", 1_577_836_800)]
    assert forms[0] == forms[1] == forms[2] and forms[0].user_id == "42"
    numbered = CollaborativeRetriever.from_texts({np.int64(1): "Liked: Heat.", 2: "Liked: Grease."}, encoder=WordEncoder())
    assert users(numbered.for_user(1).retrieve("Liked: Heat.")) == ["2"]


def test_a_question_s_arguments_have_many_forms(recommender):
    item = recommender.run.histories.catalogue["17"]
    expected = recommender.recommend("4", "17", as_of=10**9)
    for user, name, when in ((4, 17, "2001-09-09T01:46:40"), (np.int64(4), item.name, datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC))):
        assert recommender.recommend(user, name, as_of=when) == expected
        assert asyncio.run(recommender.arecommend(user, name, as_of=when)) == expected
    films = recommender.run.histories.catalogue
    typed = recommender.recommend(None, 4, history=f"{films['0'].name}; -{films['1'].name}")
    for listed in ([films["0"].name, f"-{films['1'].name}"], [0, "-1"], (Event("", "0", True, 1), Event("", 1, False, 2))):
        assert recommender.recommend(None, 4, history=listed).prompt == typed.prompt


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        ({"as_of": 10**12}, "as_of"),
        ({"as_of": "yesterday"}, "as_of"),
        ({"user_id": 4.5}, "user_id"),
        ({"item_id": None}, "item_id"),
        ({"item_id": "\ud800"}, "item_id"),
        ({"history": "\ud800", "user_id": None}, "history"),
        ({"history": {"0": 1}, "user_id": None}, "history"),
        ({"history": [("0", True)], "user_id": None}, "history[0]"),
        ({"history": [1.5], "user_id": None}, "history[0]"),
    ],
)
async def test_a_question_s_arguments_are_checked(recommender, arguments, where):
    given = {"user_id": "4", "item_id": "17", **arguments}
    with pytest.raises(InputError) as caught:
        recommender.recommend(**given)
    assert caught.value.where == where
    with pytest.raises(InputError) as caught:
        await recommender.arecommend(**given)
    assert caught.value.where == where


def test_a_list_s_unknown_names_are_told_at_once(recommender):
    with pytest.raises(InputError) as caught:
        recommender.recommend(None, 4, history=["no such film", "0", "-nor this one"])
    assert caught.value.found == "no such film, -nor this one"


@pytest.mark.parametrize("route", ["predictor", "recommender"])
async def test_a_ranking_as_of_a_time_knows_nothing_later(toy_run, route):
    from score_rag.pipeline.guard import Guard

    recommender = open_recommender(toy_run)
    recommender.run.__dict__["guard"] = Guard(ndcg=(0.2, 0.1) if route == "predictor" else (0.1, 0.2))
    log = recommender.run.histories.log
    events = log.of("1")
    when = events[len(events) // 2].timestamp
    earlier = {event.item_id for event in events if event.timestamp < when}
    found = recommender.top(1, 24, as_of=when)
    ranked = {one.item.item_id for one in found}
    assert ranked == set(recommender.run.histories.catalogue) - earlier, "what was judged later is still to be had"
    assert ranked & {event.item_id for event in events if event.timestamp >= when}
    for one in found[:3]:
        assert one.prompt.count("\n") and all(log.before(other.user_id, when) for other in one.neighbours)
    again = await recommender.atop(1, 24, as_of=datetime.fromtimestamp(when, UTC))
    assert [one.item for one in again] == [one.item for one in found]
    assert any("24 items were asked for" in said and f"{len(found)} came" in said for said in found[0].warnings)
    assert not any("asked for" in said for said in recommender.top(1, 2)[0].warnings)
    with pytest.raises(InputError, match="at that time there is none"):
        recommender.top(1, 3, as_of=events[0].timestamp)
    for arguments in ({"k": 0}, {"k": -1}, {"k": 3, "candidates": 0}):
        with pytest.raises(InputError, match="1 or more"):
            recommender.top(1, **arguments)
    few = recommender.top(1, 3, candidates=2)
    assert len(few) == 2 and any("only 2 candidates" in said for said in few[0].warnings)


async def test_the_workflow_s_answer_has_a_type_and_takes_the_same_arguments(recommender):
    flow = RecommendWorkflow.from_run(recommender.run)
    answered = await flow.ask(4, 17, as_of="2001-09-09T01:46:40Z")
    assert answered.recommendation.prompt == recommender.recommend("4", "17", as_of=10**9).prompt
    listed = await flow.ask(None, "4", history=["0", "-1"])
    assert listed.recommendation.prompt == recommender.recommend(None, "4", history=["0", "-1"]).prompt
    with pytest.raises(InputError, match="not in seconds"):
        await flow.run(user_id="4", item_id="17", as_of=10**12)


def test_a_notebook_shows_an_answer_and_nothing_that_data_smuggles_in(recommender):
    found = recommender.recommend("0", "1")
    shown = found._repr_html_()
    assert found.item.name in shown and f"{found.probability:.3f}" in shown and found.verdict in shown
    assert all(other.user_id in shown for other in found.neighbours) and "evidence in the prompt" in shown
    evil = replace(found, item=replace(found.item, title="<script>alert(1)</script>"), user_id="<b>", warnings=["<i>"])
    assert "<script" not in evil._repr_html_() and "<b>" not in evil._repr_html_() and "<i>" not in evil._repr_html_()


def test_the_version_is_the_installed_one():
    from importlib.metadata import version

    assert score_rag.__version__ == version("score-rag")


APP = """
import asyncio

from llama_index.core.query_engine import RetrieverQueryEngine

from score_rag import CollaborativeRetriever, RecommendWorkflow, SelfAssessingReranker, UserQuery, __version__
from score_rag import load_pipeline, open_recommender


def version() -> str:
    return __version__


def serve(folder: str) -> list[str]:
    retriever = CollaborativeRetriever.from_pretrained(folder, similarity_top_k=10).for_user(42, as_of="2021-06-30")
    reranker = SelfAssessingReranker.from_pretrained(folder, top_n=2)
    RetrieverQueryEngine.from_args(retriever, node_postprocessors=[reranker])
    return [node.text for node in retriever.retrieve(UserQuery("Liked: Heat (1995)", user_id=42))]


async def ask() -> tuple[float, str]:
    answered = await RecommendWorkflow.from_run("sample").ask(42, 17)
    reveal_type(answered)
    reveal_type(answered.recommendation.item.title)
    ranked = await open_recommender(load_pipeline("sample")).atop(42, 3, as_of="2021-06-30")
    reveal_type(ranked[0])
    return answered.probability, ranked[0].verdict


print(asyncio.run(ask()))
"""


@pytest.mark.slow
def test_a_user_s_app_types_under_strict(tmp_path):
    (tmp_path / "app.py").write_text(APP, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", str(tmp_path / "cache"), "app.py"]
    told = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert told.returncode == 0, told.stdout
    kinds = [line.rsplit('"', 2)[1].rsplit(".", 1)[-1] for line in told.stdout.splitlines() if "Revealed type" in line]
    assert kinds == ["AnsweredEvent", "str", "Recommendation"]


def test_the_reranker_is_a_langchain_compressor_that_keeps_what_the_post_processor_keeps(toy_parts):
    import asyncio

    from langchain_core.documents import Document
    from llama_index.core.schema import NodeWithScore, TextNode

    from score_rag import SelfAssessingReranker, UserQuery
    from score_rag.integrations.langchain_reranker import SelfAssessingCompressor

    texts = toy_parts.index.documents["text"].unique().sort().to_list()[:6]
    documents = [Document(page_content=text, metadata={"place": place}, id=str(place)) for place, text in enumerate(texts)]
    target, asked = "Merry Street (1982). Comedy.", "Liked: Sunny Garden."
    compressor = SelfAssessingCompressor.from_pretrained(toy_parts.folder("reranker"), top_n=3)
    kept = compressor.for_item(target).compress_documents(documents, asked)
    reranker = SelfAssessingReranker.from_pretrained(toy_parts.folder("reranker"), top_n=3)
    nodes = [NodeWithScore(node=TextNode(text=text, id_=str(place)), score=0.5) for place, text in enumerate(texts)]
    same = reranker.postprocess_nodes(nodes, query_bundle=UserQuery(asked, target=target))
    assert [one.id for one in kept] == [one.node.node_id for one in same]
    assert [one.metadata["relevance_score"] for one in kept] == pytest.approx([one.score for one in same])
    assert all(one.metadata["place"] == int(one.id) for one in kept) and all("relevance_score" not in one.metadata for one in documents)
    assert asyncio.run(compressor.for_item(target).acompress_documents(documents, asked)) == kept
    assert compressor.target is None and compressor.compress_documents([], asked) == []
