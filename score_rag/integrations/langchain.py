"""The collaborative retriever as a LangChain retriever."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import BeforeValidator, Field

from score_rag.arguments import Time, read_id, read_time

if TYPE_CHECKING:
    from llama_index.core.schema import NodeWithScore

    from score_rag.retriever.query import UserQuery

__all__ = ["CollaborativeLangChainRetriever"]


def _user_id(given: object) -> str | None:
    return None if given is None else read_id(given, where="user_id")


def _as_of(given: object) -> int | None:
    return read_time(given)


class CollaborativeLangChainRetriever(BaseRetriever):
    """Users whose behaviour helps, as LangChain documents: `page_content` tells it, `metadata` has `user_id` and `score` (cosine).

    The query is a behaviour in words. `invoke` takes, beside it, `k`, `user_id` (never their own neighbour) and `as_of` (seconds, a
    `datetime` or an ISO date): `retriever.invoke("Liked: Heat (1995).", user_id="42", k=3)`. An agent's tool passes the text alone: give
    it a retriever that knows who asks, `CollaborativeLangChainRetriever(retriever=..., user_id="42")`.

    Attributes:
        retriever: A `CollaborativeRetriever`.
        k: How many users to return; by default as many as the retriever does.
        user_id: Who asks, where `invoke` does not say so.
        as_of: When, where `invoke` does not say so; None means now.
    """

    retriever: Any = Field(description="A CollaborativeRetriever.")
    k: int | None = Field(default=None, ge=1, description="How many users to return.")
    user_id: Annotated[str | None, BeforeValidator(_user_id)] = Field(default=None, description="Who asks.")
    as_of: Annotated[int | None, BeforeValidator(_as_of)] = Field(default=None, description="Only what was known before is seen.")

    @classmethod
    def from_pretrained(cls, folder: Path | str, **settings: Any) -> CollaborativeLangChainRetriever:
        """Open a finished retriever folder, such as `runs/sample/retriever`, or the one of a run (`runs/sample`).

        Args:
            folder: What `score-rag run` trained.
            settings: Other fields of this class, such as `k`.

        Raises:
            ModelError: There is no retriever in the folder.
        """
        from score_rag.retriever.retriever import CollaborativeRetriever

        return cls(retriever=CollaborativeRetriever.from_pretrained(folder), **settings)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        k: int | None = None,
        user_id: str | int | None = None,
        as_of: Time | None = None,
    ) -> list[Document]:
        asked = self._asked(query, k, user_id, as_of)
        return [_document(found) for found in self.retriever.retrieve(asked)]

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        k: int | None = None,
        user_id: str | int | None = None,
        as_of: Time | None = None,
    ) -> list[Document]:
        asked = self._asked(query, k, user_id, as_of)
        return [_document(found) for found in await self.retriever.aretrieve(asked)]

    def _asked(self, query: str, k: int | None, user_id: str | int | None, as_of: Time | None) -> UserQuery:
        from score_rag.retriever.query import UserQuery

        return UserQuery(
            query,
            user_id=self.user_id if user_id is None else user_id,
            as_of=self.as_of if as_of is None else as_of,
            top_k=self.k if k is None else k,
        )


def _document(found: NodeWithScore) -> Document:
    return Document(page_content=found.node.get_content(), metadata={**found.node.metadata, "score": found.score}, id=found.node.node_id)
