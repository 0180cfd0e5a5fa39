"""Ready tools for LlamaIndex agents: the five questions to a finished run, and users of a like taste by name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from inspect import Parameter, getdoc, signature
from typing import TYPE_CHECKING, Any

from llama_index.core.bridge.pydantic import BaseModel, Field, create_model
from llama_index.core.tools import FunctionTool

from score_rag.arguments import Time
from score_rag.retriever.query import UserQuery

if TYPE_CHECKING:
    from llama_index.core.schema import NodeWithScore

    from score_rag.integrations.toolbox import Toolbox
    from score_rag.retriever.retriever import CollaborativeRetriever

__all__ = ["recommend_tools", "similar_users_tool"]

_TELLS = (
    "Finds users whose behaviour is most like a given one. Each line of the result names a user by id, says how alike they are "
    "(cosine, 1 is equal), and tells what they liked and disliked."
)


def recommend_tools(toolbox: Toolbox) -> list[FunctionTool]:
    """The five questions of a `Toolbox`, for `FunctionAgent`, `ReActAgent` and others.

    An answer is JSON; its typed object is in `raw_output`. A mistake in the arguments is an error that says what was expected, for the
    language model to read: LlamaIndex hands it over as the tool's answer.

    Returns:
        Tools with a sync and an async form; the sync one must not be called inside an event loop.
    """
    return [
        FunctionTool.from_defaults(
            _waiting(ask),
            async_fn=ask,
            name=name,
            description=getdoc(ask) or "",
            fn_schema=_schema(name, ask),
            callback=_as_json,
            async_callback=_aas_json,
        )
        for name, ask in toolbox.questions().items()
    ]


def _waiting(ask: Callable[..., Coroutine[Any, Any, BaseModel]]) -> Callable[..., BaseModel]:
    """The same, for callers without an event loop."""

    def answer(**named: Any) -> BaseModel:
        return asyncio.run(ask(**named))

    return answer


def _schema(name: str, ask: Callable[..., Any]) -> type[BaseModel]:
    """A function's arguments as a model; LlamaIndex's own reading takes no annotations that are written as texts."""
    fields: dict[str, Any] = {
        one.name: (one.annotation, ... if one.default is Parameter.empty else one.default)
        for one in signature(ask, eval_str=True).parameters.values()
    }
    return create_model(name, **fields)


def _as_json(answer: BaseModel) -> str:
    return answer.model_dump_json()


async def _aas_json(answer: BaseModel) -> str:
    return _as_json(answer)


class _Behaviour(BaseModel):
    """What the model gives for a user who is known already."""

    behaviour: str = Field(
        description="What the user liked and disliked, in words: 'Liked: Heat (1995); Ronin (1998). Disliked: Grease (1978).'"
    )


class _Asker(_Behaviour):
    """What the model gives where it may say who asks."""

    user_id: str | None = Field(default=None, description="Id of the user who is asked about, who is then left out of the result")


class _Question(_Asker):
    """What the model gives where it may say when, too."""

    as_of: str | None = Field(default=None, description="A date such as 2021-06-30: only what was known before is looked at")


def similar_users_tool(
    retriever: CollaborativeRetriever,
    *,
    user_id: str | int | None = None,
    as_of: Time | None = None,
    name: str = "find_similar_users",
    description: str = _TELLS,
) -> FunctionTool:
    """A tool for LlamaIndex agents that finds similar users and names them.

    Args:
        retriever: Where they are found.
        user_id: Who is served: never in the result, and the model gives the behaviour alone. Without, the model may give an id.
        as_of: Only what was known strictly before is seen. None means now, or the time that the model gives where it may say who asks.
        name: As the model sees it.
        description: As the model sees it.

    Returns:
        A tool with a sync and an async form; what it returns holds the nodes in `raw_output`.
    """
    bound = retriever.for_user(user_id, as_of=as_of)
    schema = _Behaviour if user_id is not None else _Question if as_of is None else _Asker

    def find(behaviour: str, user_id: str | None = None, as_of: str | None = None) -> list[NodeWithScore]:
        return bound.retrieve(UserQuery(behaviour, user_id=user_id, as_of=as_of))

    async def afind(behaviour: str, user_id: str | None = None, as_of: str | None = None) -> list[NodeWithScore]:
        return await bound.aretrieve(UserQuery(behaviour, user_id=user_id, as_of=as_of))

    return FunctionTool.from_defaults(
        find, async_fn=afind, name=name, description=description, fn_schema=schema, callback=_told, async_callback=_atold
    )


def _told(found: list[NodeWithScore]) -> str:
    if not found:
        return "No similar user was found."
    return "\n".join(f"user {node.metadata['user_id']} ({node.score or 0:.2f}): {node.text}" for node in found)


async def _atold(found: list[NodeWithScore]) -> str:
    return _told(found)
