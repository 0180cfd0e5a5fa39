"""The collaborative retriever as a LangChain retriever."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import Field

if TYPE_CHECKING:
    from llama_index.core.schema import NodeWithScore

    from score_rag.retriever.retriever import UserQuery

__all__ = ["CollaborativeLangChainRetriever"]


class CollaborativeLangChainRetriever(BaseRetriever):
    """Users whose behaviour helps, as LangChain documents: `page_content` tells it, `metadata` has `user_id` and `score` (cosine).

    The query is a behaviour in words. `invoke` takes, beside it, `k`, `user_id` (never their own neighbour) and `as_of` (seconds):
    `retriever.invoke("Liked: Heat (1995).", user_id="42", k=3)`.

    Attributes:
        retriever: A `CollaborativeRetriever`.
        k: How many users to return; by default as many as the retriever does.
    """

    retriever: Any = Field(description="A CollaborativeRetriever.")
    k: int | None = Field(default=None, ge=1, description="How many users to return.")

    @classmethod
    def from_pretrained(cls, folder: Path | str, **settings: Any) -> CollaborativeLangChainRetriever:
        """Open a finished retriever folder, such as `runs/sample/retriever`.

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
        user_id: str | None = None,
        as_of: int | None = None,
    ) -> list[Document]:
        asked = self._asked(query, k, user_id, as_of)
        return [_document(found) for found in self.retriever.retrieve(asked)]

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        k: int | None = None,
        user_id: str | None = None,
        as_of: int | None = None,
    ) -> list[Document]:
        asked = self._asked(query, k, user_id, as_of)
        return [_document(found) for found in await self.retriever.aretrieve(asked)]

    def _asked(self, query: str, k: int | None, user_id: str | None, as_of: int | None) -> UserQuery:
        from score_rag.retriever.retriever import UserQuery

        return UserQuery(query, user_id=user_id, as_of=as_of, top_k=k or self.k)


def _document(found: NodeWithScore) -> Document:
    return Document(page_content=found.node.get_content(), metadata={**found.node.metadata, "score": found.score}, id=found.node.node_id)
