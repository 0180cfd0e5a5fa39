"""How long a prompt is for a base, with what its chat form puts around it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from score_rag.extras import names_extras
from score_rag.predictor.tokens import wrap_chat

__all__ = ["prompt_counter"]


@names_extras()
def prompt_counter(base: str) -> Callable[[str], int]:
    """Counts a prompt's tokens.

    Args:
        base: Hub name or folder of a causal model.
    """
    plain = Path(base) / "tokenizer.json"
    if plain.is_file() and not (Path(base) / "chat_template.jinja").is_file():
        from tokenizers import Tokenizer

        fast = Tokenizer.from_file(str(plain))
        return lambda text: len(fast.encode(text).ids)
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    chat = bool(getattr(tokenizer, "chat_template", None))
    return lambda text: len(tokenizer(wrap_chat(tokenizer, text), add_special_tokens=not chat)["input_ids"])
