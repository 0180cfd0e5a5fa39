"""Settings of documents: how a user's behaviour is told, and when a new version is written."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from score_rag.settings import BUNDLED, ModelName, Settings, also

__all__ = ["DocumentSettings"]

_QUERIES = also("reranker", "predictor")
"""Queries are told as documents are."""


class DocumentSettings(Settings):
    """A user's behaviour, told in words."""

    prompt: Annotated[str, _QUERIES] = Field(
        "describe_user", description="prompts/describe_user.md; or describe_profile, describe_liked, describe_genres, describe_titles"
    )
    max_liked: Annotated[int, _QUERIES] = Field(8, ge=0, description="most recent liked items in a document")
    max_disliked: Annotated[int, _QUERIES] = Field(4, ge=0, description="most recent disliked items in a document")
    max_tokens: Annotated[int | None, _QUERIES] = Field(
        None, ge=1, description="longest document; a longer one is written again with fewer items, then fewer words; null: no limit"
    )
    tokenizer: Annotated[ModelName, _QUERIES] = Field(
        BUNDLED, description="what counts them (the retriever's encoder, say): bundled | a hub name | a folder"
    )
    every: int = Field(16, ge=1, description="a new version of a user's document each so many events")
    sparser_after: int = Field(
        6, ge=1, description="from so many versions on, the next one only when the history has grown by that share (of 6: 1/6)"
    )
