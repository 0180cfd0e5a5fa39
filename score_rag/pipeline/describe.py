"""How a pipeline tells a user's behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from score_rag.data.log import Item
from score_rag.documents.describer import Describer, token_counter
from score_rag.pipeline.config import Pipeline
from score_rag.prompts import Prompt

__all__ = ["make_describer"]


def make_describer(pipeline: Pipeline, prompt: Prompt, catalogue: Mapping[str, Item], *, tokenizer: Path | None = None) -> Describer:
    """Tells histories as the pipeline's `documents` section says.

    Args:
        tokenizer: Folder of the tokenizer that counts, where it is at hand; otherwise it is found by the setting `documents.tokenizer`.

    Raises:
        ModelError: There is a budget of tokens, and no such tokenizer.
        PromptError: The prompt declares what behaviour does not tell.
    """
    settings = pipeline.documents
    counts = None
    if settings.max_tokens is not None:
        from score_rag.encoders.encoder import find_encoder

        counts = token_counter(tokenizer or find_encoder(settings.tokenizer, setting="documents.tokenizer"))
    return Describer(
        prompt,
        catalogue,
        max_liked=settings.max_liked,
        max_disliked=settings.max_disliked,
        max_tokens=settings.max_tokens,
        count_tokens=counts,
    )
