"""A LlamaIndex agent that asks a finished run through its five tools.

python examples/agent.py sample --user 42 --item 17

The language model here is scripted, so that this runs offline; put any LlamaIndex model with function calling in its place.
"""

from __future__ import annotations

import argparse
import asyncio
import warnings
from collections.abc import Sequence
from typing import Any

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.llms import LLM, ChatMessage
from llama_index.core.llms.mock import MockFunctionCallingLLM

from score_rag import load_pipeline, open_recommender
from score_rag.integrations.toolbox import Toolbox
from score_rag.integrations.tools import recommend_tools


def scripted(user: str, item: str) -> LLM:
    """A model that explains one item, then repeats what the tool said."""

    def answer(messages: Sequence[ChatMessage], **more: Any) -> ChatMessage:
        said = [message.content for message in messages if message.role == "tool"]
        if said:
            return ChatMessage(role="assistant", content=f"The recommender says: {said[-1]}")
        call = ToolCallBlock(tool_call_id="1", tool_name="explain", tool_kwargs={"user_id": user, "item": item})
        return ChatMessage(role="assistant", blocks=[call])

    return MockFunctionCallingLLM(response_generator=answer)


async def main() -> None:
    """Ask and print."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("pipeline")
    asked.add_argument("--user", default="42")
    asked.add_argument("--item", default="17")
    given = asked.parse_args()
    # LlamaIndex's agents use what pydantic calls old.
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    toolbox = Toolbox(open_recommender(load_pipeline(given.pipeline)))
    agent = FunctionAgent(tools=list(recommend_tools(toolbox)), llm=scripted(given.user, given.item))
    print(await agent.run(f"Will user {given.user} like item {given.item}, and why?"))


if __name__ == "__main__":
    asyncio.run(main())
