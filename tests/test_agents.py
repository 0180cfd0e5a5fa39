"""A finished run in others' frameworks: tools for agents, the predictor as a language model, sync and async alike."""

from __future__ import annotations

import asyncio
import math

import pytest
from llama_index.core.agent.workflow import ReActAgent
from llama_index.core.llms import CompletionResponse, LLMMetadata, MockLLM
from llama_index.core.llms.custom import CustomLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.tools import QueryEngineTool

from score_rag import CollaborativeRetriever, SelfAssessingReranker, UserQuery, open_recommender
from score_rag.errors import InputError
from score_rag.integrations import langchain_tools, tools
from score_rag.integrations.answers import Scores
from score_rag.integrations.langchain import CollaborativeLangChainRetriever
from score_rag.integrations.langchain_reranker import SelfAssessingCompressor
from score_rag.integrations.llama_index_llm import PredictorLLM
from score_rag.integrations.toolbox import QUESTIONS, Toolbox
from score_rag.recommend.search import search_items


@pytest.fixture(scope="module")
def toolbox(toy_run):
    return Toolbox(open_recommender(toy_run))


@pytest.fixture(scope="module")
def expected(toolbox):
    return toolbox.recommender.recommend("7", "17").probability


def test_llama_index_tools_answer_sync_and_async(toolbox, expected):
    made = {tool.metadata.name: tool for tool in tools.recommend_tools(toolbox)}
    assert tuple(made) == QUESTIONS and all(tool.metadata.description for tool in made.values())
    assert set(made["score"].metadata.fn_schema.model_fields) == {"items", "user_id", "history", "as_of"}
    found = made["score"].call(user_id="7", items=["17"])
    later = asyncio.run(made["score"].acall(user_id="7", items=["17"]))
    for answer in (found, later):
        assert isinstance(answer.raw_output, Scores) and Scores.model_validate_json(answer.content) == answer.raw_output
        assert answer.raw_output.scores[0].probability == pytest.approx(expected, abs=1e-5)


def test_langchain_tools_answer_sync_and_async(toolbox, expected):
    made = {tool.name: tool for tool in langchain_tools.recommend_tools(toolbox)}
    assert tuple(made) == QUESTIONS and set(made["explain"].args) == {"item", "user_id", "history", "as_of", "with_prompt", "with_parts"}
    call = {"type": "tool_call", "id": "1", "name": "score", "args": {"user_id": "7", "items": ["17"]}}
    for answer in (made["score"].invoke(call), asyncio.run(made["score"].ainvoke(call))):
        assert answer.artifact.scores[0].probability == pytest.approx(expected, abs=1e-5)
        assert Scores.model_validate_json(answer.content) == answer.artifact
    mistake = made["score"].invoke({"user_id": "nobody", "items": ["17"]})
    assert "there is no user 'nobody'" in mistake


async def test_the_predictor_is_a_language_model_with_both_probabilities(toolbox, toy_run):
    told = toolbox.recommender.recommend("7", "17")
    model = PredictorLLM.from_pretrained(f"{toy_run.runs}/{toy_run.name}")
    whole = model.complete(told.prompt)
    assert whole.text == told.verdict and whole.raw.probability == pytest.approx(told.probability, abs=1e-6)
    ((first, second),) = whole.logprobs
    assert first.token == told.verdict and {first.token, second.token} == {"Yes", "No"} and first.logprob >= second.logprob
    assert math.exp(first.logprob) + math.exp(second.logprob) == pytest.approx(told.mass, abs=1e-6)
    yes = first if first.token == "Yes" else second
    assert math.exp(yes.logprob) / told.mass == pytest.approx(told.probability, abs=1e-6)
    later = await model.acomplete(told.prompt)
    streamed = [one async for one in await model.astream_complete(told.prompt)] + list(model.stream_complete(told.prompt))
    for other in (later, *streamed):
        assert (other.text, other.raw) == (whole.text, whole.raw) and other.logprobs == whole.logprobs
    assert model.metadata.context_window == toolbox.recommender.run.predictor.max_tokens
    with pytest.raises(InputError):
        model.complete("")


async def test_sync_and_async_nodes_are_equal_field_by_field(toy_run):
    folder = f"{toy_run.runs}/{toy_run.name}"
    retriever = CollaborativeRetriever.from_pretrained(folder, similarity_top_k=5)
    reranker = SelfAssessingReranker.from_pretrained(folder, top_n=3)
    query = UserQuery("Liked: Even 2.", user_id="7", target="Even 4.")
    one, other = retriever.retrieve(query), await retriever.aretrieve(query)
    assert len(one) == 5 and [node.to_dict() for node in one] == [node.to_dict() for node in other]
    kept = reranker.postprocess_nodes(one, query_bundle=query)
    later = await reranker.apostprocess_nodes(other, query_bundle=query)
    assert len(kept) == 3 and [node.to_dict() for node in kept] == [node.to_dict() for node in later]
    chain = CollaborativeLangChainRetriever.from_pretrained(folder, k=5, user_id="7")
    found, afound = chain.invoke("Liked: Even 2."), await chain.ainvoke("Liked: Even 2.")
    assert [document.model_dump() for document in found] == [document.model_dump() for document in afound]
    compressor = SelfAssessingCompressor.from_pretrained(folder, top_n=2).for_item("Even 4.")
    few, afew = compressor.compress_documents(found, "Liked: Even 2."), await compressor.acompress_documents(afound, "Liked: Even 2.")
    assert len(few) == 2 and [document.model_dump() for document in few] == [document.model_dump() for document in afew]


class Reasoning(CustomLLM):
    """A language model that reasons in ReAct's form: first a tool, then what the tool said."""

    calls: str

    @property
    def metadata(self):
        return LLMMetadata()

    def complete(self, prompt, formatted=False, **more):
        # The instructions show an observation too, but none in JSON.
        _, found, seen = prompt.rpartition("Observation: {")
        if not found:
            return CompletionResponse(text=f"Thought: I need a tool.\n{self.calls}")
        seen = "{" + seen.split("\n")[0]
        return CompletionResponse(text=f"Thought: I can answer.\nAnswer: {seen}")

    def stream_complete(self, prompt, formatted=False, **more):
        yield self.complete(prompt)


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")
@pytest.mark.filterwarnings("ignore:is_running called from within a step")
async def test_a_react_agent_asks_the_recommender_and_a_query_engine(toolbox, toy_run, expected):
    folder = f"{toy_run.runs}/{toy_run.name}"
    calls = 'Action: score\nAction Input: {"user_id": "7", "items": ["17"]}'
    agent = ReActAgent(tools=tools.recommend_tools(toolbox), llm=Reasoning(calls=calls), streaming=False)
    answer = str(await asyncio.wait_for(agent.run("Will user 7 like item 17?"), 60))
    assert Scores.model_validate_json(answer).scores[0].probability == pytest.approx(expected, abs=1e-5)

    engine = RetrieverQueryEngine.from_args(
        CollaborativeRetriever.from_pretrained(folder, similarity_top_k=3).for_user("7"),
        node_postprocessors=[SelfAssessingReranker.from_pretrained(folder, top_n=1)],
        llm=MockLLM(max_tokens=3),
    )
    tool = QueryEngineTool.from_defaults(engine, name="like_minded", description="What users like this one did.")
    asked = tool.call("Liked: Even 2.")
    assert asked.content and len(asked.raw_output.source_nodes) == 1


def test_items_are_found_by_all_that_they_are_called(toy):
    catalogue = toy.catalogue
    item = catalogue["4"]
    assert search_items(catalogue, "4")[0] == item and search_items(catalogue, item.name)[0] == item
    assert search_items(catalogue, item.title.upper())[0] == item
    genre = item.genres[0]
    found = search_items(catalogue, genre, most=100)
    assert item in found and all(genre in one.genres or genre.casefold() in one.name.casefold() for one in found)
    assert len(search_items(catalogue, genre, most=2)) == 2
    assert item in search_items(catalogue, item.title[:-1] + "x") or len(item.title) < 4
    assert search_items(catalogue, "  ") == [] and search_items(catalogue, "qqqqqqqq") == []
