"""Ready tools for LangChain agents: the five questions to a finished run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from inspect import getdoc
from typing import TYPE_CHECKING, Any

from langchain_core.tools import StructuredTool, ToolException
from pydantic import BaseModel

from score_rag.errors import ScoreError

if TYPE_CHECKING:
    from score_rag.integrations.toolbox import Toolbox

__all__ = ["recommend_tools"]


def recommend_tools(toolbox: Toolbox) -> list[StructuredTool]:
    """The five questions of a `Toolbox` as LangChain tools: JSON for the language model, the typed object as the artifact.

    A mistake in the arguments comes back as the tool's answer and says what was expected.

    Returns:
        Tools with `invoke` and `ainvoke`; `invoke` must not be called inside an event loop.
    """
    return [_tool(name, ask) for name, ask in toolbox.questions().items()]


def _tool(name: str, ask: Callable[..., Awaitable[Any]]) -> StructuredTool:
    @wraps(ask)
    async def aanswer(*given: Any, **named: Any) -> tuple[str, BaseModel]:
        try:
            found: BaseModel = await ask(*given, **named)
        except ScoreError as error:
            raise ToolException(str(error)) from error
        return found.model_dump_json(), found

    @wraps(ask)
    def answer(*given: Any, **named: Any) -> tuple[str, BaseModel]:
        return asyncio.run(aanswer(*given, **named))

    return StructuredTool.from_function(
        func=answer,
        coroutine=aanswer,
        name=name,
        description=getdoc(ask),
        response_format="content_and_artifact",
        handle_tool_error=True,
    )
