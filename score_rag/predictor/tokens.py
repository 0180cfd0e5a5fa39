"""Where Yes and No are: found through the tokenizer, in the very place where the model would write them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from score_rag.errors import ChangeSetting, ModelError, RunStage
from score_rag.files import at_home
from score_rag.settings import BUNDLED

__all__ = [
    "ANSWERS",
    "PlacedTokens",
    "answer_ids",
    "chat_encoder",
    "find_base",
    "place_tokens",
    "plain_encoder",
    "with_answer",
    "wrap_chat",
]

ANSWERS = ("Yes", "No")


def find_base(name: str) -> None:
    """Make sure that a base model is there, by its smallest file, before hours are spent on what comes before it.

    Raises:
        ModelError: It is neither a folder with a model, nor in the hub's cache, nor can the hub be asked.
    """
    folder = at_home(name)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError("this folder holds no model", where=folder, expected="config.json and model.safetensors")
        return
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        hf_hub_download(name, "config.json")
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise ModelError(
            f"the base model {name!r} is not on this disk and cannot be fetched",
            expected="'bundled', a folder with a saved causal model, or a name on the hub",
            found=str(error).splitlines()[0],
            hint=f"with a network: hf download {name}; without",
            remedy=ChangeSetting({"predictor.base": BUNDLED}),
        ) from error


def answer_ids(encode: Callable[[str], Sequence[int]], ending: str) -> tuple[int, int]:
    """First token of each answer after a prompt that ends in `ending`.

    Args:
        encode: Text to token ids.
        ending: A whole prompt, or its last line: tokenizers merge spaces with words, so the place matters.

    Returns:
        (id of Yes, id of No).

    Raises:
        ModelError: The tokenizer gives both answers the same first token, or lets an answer melt into the prompt's end.
    """
    found = []
    before = list(encode(ending))
    for liked in (True, False):
        after = list(encode(with_answer(ending, liked)))
        if after[: len(before)] != before or len(after) == len(before):
            raise ModelError(
                "the tokenizer merges the answer into the prompt's last word",
                where=repr(ending[-40:]),
                expected="a prompt that ends in punctuation or a line break",
                hint="end prompts/predict.md with ':' or a line break",
            )
        found.append(after[len(before)])
    if found[0] == found[1]:
        raise ModelError("the tokenizer gives Yes and No the same first token", found=f"token {found[0]}")
    return found[0], found[1]


def wrap_chat(tokenizer: Any, prompt: str) -> str:
    """The prompt as a user's turn in the model's own chat form, where its tokenizer has one; otherwise as it is."""
    if getattr(tokenizer, "chat_template", None):
        turn = [{"role": "user", "content": prompt}]
        return str(tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True))
    return prompt


def with_answer(prompt: str, liked: bool) -> str:
    """A prompt with its answer written where the model would write it.

    >>> with_answer("Heat (1995):", True)
    'Heat (1995): Yes'
    """
    gap = "" if prompt.endswith((" ", "\n")) else " "
    return f"{prompt}{gap}{ANSWERS[0] if liked else ANSWERS[1]}"


def plain_encoder(folder: Path) -> Callable[[str], list[int]]:
    """Text to token ids by a folder's `tokenizer.json`, without transformers.

    Raises:
        ModelError: There is no such file.
    """
    from tokenizers import Tokenizer

    file = folder / "tokenizer.json"
    if not file.is_file():
        raise ModelError("a tokenizer is missing", where=file, remedy=RunStage("predictor", again=True))
    tokenizer = Tokenizer.from_file(str(file))
    return lambda text: list(tokenizer.encode(text).ids)


@dataclass(frozen=True)
class PlacedTokens:
    """A prompt's tokens, and where each stands in it.

    Attributes:
        ids: Token ids, as the model reads them.
        places: By token, (first character, one past the last) in the prompt; (0, 0) for a token that is none of its text (beginning of
            text, chat form). Tokens of one character written in several bytes share its place.
        pieces: By token, its text.
    """

    ids: list[int]
    places: list[tuple[int, int]]
    pieces: list[str]


def place_tokens(base: Path | str, *, bundled: bool) -> Callable[[str], PlacedTokens]:
    """A function from a prompt to its tokens with their places, as `plain_encoder` (bundled) or `chat_encoder` encode it.

    Args:
        base: The base model's folder, or its name.

    Raises:
        ModelError: Its tokenizer does not say where tokens come from.
    """
    if bundled:
        from tokenizers import Tokenizer

        plain = Tokenizer.from_file(str(Path(base) / "tokenizer.json"))

        def place(text: str) -> PlacedTokens:
            found = plain.encode(text)
            return PlacedTokens(list(found.ids), list(found.offsets), list(found.tokens))

        return place
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(base)
    if not tokenizer.is_fast:
        raise ModelError(
            "this tokenizer does not tell where its tokens come from", where=base, expected="a fast tokenizer (tokenizer.json)"
        )
    chat = bool(getattr(tokenizer, "chat_template", None))

    def place_in_turn(text: str) -> PlacedTokens:
        whole = wrap_chat(tokenizer, text)
        found = tokenizer(whole, add_special_tokens=not chat, return_offsets_mapping=True)
        # Chat forms may trim what they wrap; what comes before the prompt's own text is theirs.
        told = text if text in whole else text.strip()
        start, lead = whole.rfind(told), text.find(told)
        if start < 0:
            raise ModelError(
                "the chat form of this model changes the prompt's text", where=base, expected="the prompt within the chat form"
            )
        places = []
        for first, last in found["offset_mapping"]:
            inside = max(first, start), min(last, start + len(told))
            places.append((inside[0] - start + lead, inside[1] - start + lead) if inside[0] < inside[1] else (0, 0))
        ids = list(found["input_ids"])
        return PlacedTokens(ids, places, tokenizer.convert_ids_to_tokens(ids))

    return place_in_turn


def chat_encoder(tokenizer: Any) -> Callable[[str], list[int]]:
    """Text to token ids by a tokenizer of transformers, in the model's chat form where it has one."""
    chat = bool(getattr(tokenizer, "chat_template", None))
    # A chat form brings its own beginning-of-text token; a second one would shift every score.
    return lambda text: list(tokenizer(wrap_chat(tokenizer, text), add_special_tokens=not chat)["input_ids"])
