"""What a language model replied, read as an assessment: models think aloud, fence their JSON and add friendly sentences."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from score_rag.reranker.assessment import Assessment

__all__ = ["InvalidReplyError", "is_refusal", "read_reply"]

_LONGEST = 50_000
"""Characters of a reply that are read: an assessment has some hundred."""
_OPENINGS = 200
"""Braces at which an object is looked for."""
_REFUSES = re.compile(r"\W*(sorry\b|i(['’]m| am) (sorry|unable|not able)|i (cannot|can['’]?t|can not|won['’]?t)\b|as an ai\b)", re.I)
_DOTS = re.compile(r"[.…\s]*")


class InvalidReplyError(ValueError):
    """A reply holds no assessment; the message says what is wrong with it."""


def read_reply(text: str) -> Assessment:
    """The assessment in a reply: the last JSON object that is one, outside `<think>` blocks.

    Raises:
        InvalidReplyError: There is none.

    >>> read_reply('<think>{"characteristics": ["no"]}</think>Sure! {"characteristics": ["likes noir"]} Anything else?').characteristics
    ['likes noir']
    >>> read_reply('{"characteristics": ["likes no')
    Traceback (most recent call last):
    score_rag.reranker.replies.InvalidReplyError: no whole JSON object
    """
    found, wrong = None, "no whole JSON object"
    for value in _objects(_said(text[-_LONGEST:])):
        try:
            answer = Assessment.model_validate(value)
        except ValidationError as error:
            told = [f"{'.'.join(map(str, one['loc'])) or 'answer'}: {one['msg']}" for one in error.errors()[:3]]
            wrong = "; ".join(told)
            continue
        if all(_DOTS.fullmatch(one) for one in answer.characteristics):
            # The form that the prompt shows, said back.
            wrong = "characteristics: only dots"
            continue
        found = answer
    if found is None:
        raise InvalidReplyError(wrong)
    return found


def is_refusal(text: str) -> bool:
    """Whether a reply without JSON says, in its first words, that there will be none.

    >>> is_refusal("I'm sorry, but I can't help with that."), is_refusal('{"characteristics": []}')
    (True, False)
    """
    return "{" not in text and _REFUSES.match(text[:200]) is not None


def _said(text: str) -> str:
    """A reply without what was thought: some models leave out the opening mark, those that are cut off the closing one."""
    for name in ("think", "thinking"):
        opening, closing = f"<{name}>", f"</{name}>"
        if closing in text:
            text = text[text.rfind(closing) + len(closing) :]
        if opening in text:
            text = text[: text.find(opening)]
    return text


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The outermost JSON objects of a text, in order."""
    decoder, place = json.JSONDecoder(), 0
    for _ in range(_OPENINGS):
        place = text.find("{", place)
        if place < 0:
            return
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            # A number of too many digits is a ValueError of its own.
            place += 1
            continue
        yield value
