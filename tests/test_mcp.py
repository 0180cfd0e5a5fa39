"""The MCP server, asked by the official client: over stdio as a real process, over HTTP, and from an agent."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import httpx2
import pytest
import uvicorn
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.llms import ChatMessage
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.tools import FunctionTool
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from score_rag import open_recommender
from score_rag.errors import InputError
from score_rag.explain.explainer import explain_question
from score_rag.integrations.mcp_server import http_app, make_server
from score_rag.integrations.toolbox import QUESTIONS, Toolbox

# A recommender whose every answer is accompanied by all that would break a client's reading, then the command line as it is.
NOISY = """
import atexit, os, sys, warnings
from score_rag.recommend.recommender import Recommender

def noisy(method):
    def said(self, *given, **named):
        from tqdm import tqdm
        warnings.warn("a package warns", stacklevel=1)
        print("a package prints")
        os.write(1, b"C code writes\\n")
        for _ in tqdm(range(3), file=sys.stdout):
            pass
        return method(self, *given, **named)
    return said

Recommender._recommend_all = noisy(Recommender._recommend_all)
Recommender.__init__ = noisy(Recommender.__init__)
atexit.register(print, "a package says goodbye")
from score_rag.cli import main
main()
"""


@pytest.fixture(scope="module")
def toolbox(toy_run):
    return Toolbox(open_recommender(toy_run))


def stdio(toy_run, code=None) -> StdioServerParameters:
    start = ["-m", "score_rag.cli"] if code is None else ["-c", code]
    return StdioServerParameters(command=sys.executable, args=[*start, "mcp", str(toy_run.path)], env=dict(os.environ))


async def test_the_tools_are_described_with_typed_results(toolbox):
    async with Client(make_server(toolbox)) as client:
        listed = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(listed) == set(QUESTIONS)
    for tool in listed.values():
        assert tool.description and tool.annotations.read_only_hint
        assert tool.output_schema["type"] == "object" and tool.output_schema["properties"]
        assert all("description" in told for name, told in tool.input_schema["properties"].items()), tool.name
    assert listed["recommend"].input_schema["properties"]["n"]["maximum"] == 100


async def test_answers_are_the_recommender_s_own(toolbox):
    recommender = toolbox.recommender
    async with Client(make_server(toolbox)) as client:
        ranking = (await client.call_tool("recommend", {"user_id": "7", "n": 3})).structured_content
        expected = recommender.top("7", 3)
        assert [one["item"]["item_id"] for one in ranking["items"]] == [one.item.item_id for one in expected]
        assert ranking["route"] == expected[0].route

        scores = (await client.call_tool("score", {"user_id": "7", "items": ["17", "3"]})).structured_content["scores"]
        assert [one["item"]["item_id"] for one in scores] == ["17", "3"]
        assert scores[0]["probability"] == pytest.approx(recommender.recommend("7", "17").probability, abs=1e-5)

        why = (await client.call_tool("explain", {"item": "17", "history": ["1", "-2"], "with_prompt": True})).structured_content
        told = recommender.recommend(None, "17", history=["1", "-2"])
        assert why["prompt"] == told.prompt and [o["user_id"] for o in why["neighbours"]] == [o.user_id for o in told.neighbours]
        assert {one["name"] for one in why["evidence"]} == set(told.evidence) and why["user_id"] is None
        assert why["prompt_parts"] == []
        own = explain_question(recommender.run, "7", "17").look
        parts = (await client.call_tool("explain", {"user_id": "7", "item": "17", "with_parts": True})).structured_content["prompt_parts"]
        assert [(one["name"], one["label"]) for one in parts] == [(one.name, one.label) for one in own.segments]
        assert [one["effect"] for one in parts] == pytest.approx([one.effect for one in own.segments], abs=1e-5)

        users = (await client.call_tool("neighbours", {"user_id": "7", "n": 4})).structured_content["users"]
        assert len(users) == 4 and "7" not in [one["user_id"] for one in users]
        assert [one["similarity"] for one in users] == sorted((one["similarity"] for one in users), reverse=True)

        name = recommender.run.histories.catalogue["17"].name
        found = (await client.call_tool("search_items", {"words": name})).structured_content["items"]
        assert found[0]["item_id"] == "17"


@pytest.mark.parametrize(
    ("tool", "given", "said"),
    [
        ("recommend", {}, "neither a user nor a history"),
        ("recommend", {"user_id": "nobody"}, "there is no user 'nobody'"),
        ("recommend", {"user_id": "7", "n": 1000}, "less than or equal to 100"),
        ("score", {"user_id": "7", "items": ["no such film"]}, "there is no item 'no such film'"),
        ("score", {"user_id": "7", "items": []}, "at least 1"),
        ("explain", {"user_id": "7", "item": "17", "as_of": "yesterday"}, "a time cannot be read"),
        ("explain", {"user_id": "7", "item": "17", "history": ["1"]}, "a user of the data brings a history"),
        ("neighbours", {"history": ["nothing"]}, "not in the catalogue"),
    ],
)
async def test_a_mistake_is_told_to_the_agent(toolbox, tool, given, said):
    async with Client(make_server(toolbox)) as client:
        answer = await client.call_tool(tool, given)
    assert answer.is_error and said in answer.content[0].text and "Traceback" not in answer.content[0].text


async def test_what_is_wrong_with_the_server_is_not_told_to_the_agent(toolbox, monkeypatch):
    def broken(self, *given, **named):
        raise RuntimeError("/secret/path")

    monkeypatch.setattr("score_rag.recommend.recommender.Recommender._recommend_all", broken)
    async with Client(make_server(Toolbox(open_recommender(toolbox.recommender.run.pipeline)))) as client:
        answer = await client.call_tool("explain", {"user_id": "7", "item": "17"})
    assert answer.is_error and "secret" not in answer.content[0].text


async def test_over_stdio_the_official_client_is_answered(toy_run, toolbox):
    async with Client(stdio(toy_run)) as client:
        answer = await client.call_tool("score", {"user_id": "7", "items": ["17"]})
        wrong = await client.call_tool("score", {"user_id": "nobody", "items": ["17"]})
    (score,) = answer.structured_content["scores"]
    assert score["probability"] == pytest.approx(toolbox.recommender.recommend("7", "17").probability, abs=1e-5)
    assert wrong.is_error and "there is no user" in wrong.content[0].text


def test_every_line_of_stdout_is_json_rpc_whatever_is_printed(toy_run):
    place = stdio(toy_run, NOISY)
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "0"}}
    call = {"name": "score", "arguments": {"user_id": "7", "items": ["17"]}}
    lines = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call},
        {"jsonrpc": "2.0", "id": 3, "method": "no/such/method"},
    ]
    process = subprocess.Popen(
        [place.command, "-W", "always", *place.args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "TQDM_DISABLE"},  # bars are among what is printed
    )
    said = []
    for line in lines:
        process.stdin.write(json.dumps(line) + "\n")
        process.stdin.flush()
        if "id" in line:
            said.append(process.stdout.readline())
    rest, noise = process.communicate(timeout=60)
    answers = [json.loads(line) for line in [*said, *rest.splitlines()]]
    assert [(answer["jsonrpc"], answer["id"]) for answer in answers] == [("2.0", 1), ("2.0", 2), ("2.0", 3)]
    assert 0 < answers[1]["result"]["structuredContent"]["scores"][0]["probability"] < 1 and "error" in answers[2]
    for what in ("a package warns", "a package prints", "C code writes", "100%", "a package says goodbye"):
        assert what in noise, what
    assert process.returncode == 0


@contextmanager
def served(app):
    """An ASGI application on a port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not server.started and time.monotonic() < until:
        time.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        server.should_exit = True
        thread.join(10)


async def test_over_http_the_official_client_is_answered(toolbox):
    with served(http_app(toolbox)) as address:
        async with Client(address) as client:
            found = await client.call_tool("search_items", {"words": "17"})
            assert found.structured_content["items"][0]["item_id"] == "17"
        async with httpx2.AsyncClient() as browser:
            ask = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
            accept = {"accept": "application/json, text/event-stream"}
            # A page that a browser shows from elsewhere.
            refused = await browser.post(address, json=ask, headers={**accept, "origin": "http://evil.example"})
            assert refused.status_code == 403


async def test_with_a_key_only_who_sends_it_is_answered(toolbox):
    """By the rules of `score-rag serve`: in either header, the word Bearer written anyhow, spaces around it of no account."""
    key = "open sesame, said he"
    with served(http_app(toolbox, host="0.0.0.0", key=f"{key}\n")) as address:
        async with httpx2.AsyncClient() as stranger:
            for sent in ({}, {"authorization": "Bearer wrong"}, {"authorization": key}):
                refused = await stranger.post(address, json={}, headers=sent)
                assert refused.status_code == 401 and "key" in refused.json()["error"]
        async with (
            httpx2.AsyncClient(headers={"authorization": f"bearer {key}"}) as known,
            Client(streamable_http_client(address, http_client=known)) as client,
        ):
            assert len((await client.list_tools()).tools) == len(QUESTIONS)
        async with (
            httpx2.AsyncClient(headers={"x-api-key": key}) as known,
            Client(streamable_http_client(address, http_client=known)) as client,
        ):
            assert len((await client.list_tools()).tools) == len(QUESTIONS)


def test_nobody_else_is_let_in_without_a_key(toolbox):
    with pytest.raises(InputError, match="needs an API key"):
        http_app(toolbox, host="0.0.0.0")
    for short in (" ", "sesame", " " * 30):
        with pytest.raises(InputError, match="too short"):
            http_app(toolbox, key=short)


def scripted(calls):
    """A language model that calls tools from a list, then says what the last of them answered."""
    left = list(enumerate(calls))

    def answer(messages, **more):
        if left:
            number, (name, arguments) = left.pop(0)
            return ChatMessage(
                role="assistant", blocks=[ToolCallBlock(tool_call_id=f"call-{number}", tool_name=name, tool_kwargs=arguments)]
            )
        last = next(message.content for message in reversed(messages) if message.role == "tool")
        return ChatMessage(role="assistant", content=f"I found: {last}")

    return MockFunctionCallingLLM(response_generator=answer)


@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")
async def test_a_llama_index_agent_asks_the_server(toolbox):
    """The tools as an MCP client lists them, handed to an agent; each call goes through the protocol."""
    async with Client(make_server(toolbox)) as client:

        def ask(name):
            async def call(**given):
                return json.dumps((await client.call_tool(name, given)).structured_content)

            return call

        tools = [
            FunctionTool.from_defaults(async_fn=ask(tool.name), name=tool.name, description=tool.description)
            for tool in (await client.list_tools()).tools
        ]
        script = [("search_items", {"words": "17"}), ("score", {"user_id": "7", "items": ["17"]})]
        agent = FunctionAgent(tools=tools, llm=scripted(script))
        answer = await asyncio.wait_for(agent.run("Will user 7 like item 17?"), 60)
    said = str(answer)
    assert said.startswith("I found: ")
    (score,) = json.loads(said.removeprefix("I found: "))["scores"]
    assert score["probability"] == pytest.approx(toolbox.recommender.recommend("7", "17").probability, abs=1e-5)
    assert [call.tool_name for call in answer.tool_calls] == ["search_items", "score"]
