"""The part of a prompt that tells other users, cut out of the template: moved elsewhere, or replaced by a slot for something else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal, NamedTuple

from score_rag.errors import PromptError
from score_rag.files import digest_text
from score_rag.prompts import Prompt

__all__ = ["SLOT", "Place", "moved", "with_slot"]

Place = Literal["first", "middle", "last"]
"""Before all else; between history and target or as near to the middle as the template can be cut; before what asks."""
SLOT = "\ue000"
"""Stands in a rendered prompt where other users were told; no title has it (private use area)."""

_TAG = re.compile(r"\{#.*?#\}|\{%[-+]?\s*(\w+)(.*?)[-+]?%\}", re.DOTALL)
_OPENING = ("if", "for", "macro", "filter", "call", "with", "block")


class _Block(NamedTuple):
    """A block of a template's top level: from the line of its first tag to behind that of its last."""

    start: int
    end: int
    kind: str
    told: str


def moved(prompt: Prompt, place: Place) -> Prompt:
    """The prompt with its other users told elsewhere.

    Raises:
        PromptError: It tells none, or not in one block of its own.
    """
    block, rest = _cut(prompt)
    at = _places(rest)[place]
    part = block if block.endswith("\n") else f"{block}\n"
    return _changed(prompt, rest[:at] + part + rest[at:], prompt.variables)


def with_slot(prompt: Prompt) -> Prompt:
    """The prompt with `SLOT` where it told other users, whom it no longer declares.

    Raises:
        PromptError: It tells none, or not in one block of its own.
    """
    block, _ = _cut(prompt)
    start = prompt.body.index(block)
    body = prompt.body[:start] + SLOT + prompt.body[start + len(block) :]
    return _changed(prompt, body, {name: told for name, told in prompt.variables.items() if name != "neighbours"})


def _changed(prompt: Prompt, body: str, variables: dict[str, str]) -> Prompt:
    return replace(prompt, body=body, variables=variables, sha256=digest_text(body))


def _cut(prompt: Prompt) -> tuple[str, str]:
    """(The block that tells other users, the rest of the template)."""
    found = [block for block in _blocks(prompt.body) if re.search(r"\bneighbours\b", block.told) and block.kind in ("if", "for")]
    if len(found) != 1 or len(re.findall(r"\bneighbours\b", prompt.body[: found[0].start] + prompt.body[found[0].end :])):
        raise PromptError(
            f"prompt {prompt.name!r} does not tell other users in one block of its own, so they cannot be moved or replaced",
            where=prompt.path,
            expected="{% for other in neighbours %} ... {% endfor %}, or {% if neighbours %} ... {% endif %}, once",
            found=f"{len(found)} such blocks",
        )
    block = found[0]
    return prompt.body[block.start : block.end], prompt.body[: block.start] + prompt.body[block.end :]


def _blocks(body: str) -> Iterator[_Block]:
    depth, start, kind, told = 0, 0, "", ""
    for tag in _TAG.finditer(body):
        name = tag[1] or ""
        if name in _OPENING:
            if not depth:
                start, kind, told = tag.start(), name, tag[2]
            depth += 1
        elif name.startswith("end") and name.removeprefix("end") in _OPENING:
            depth -= 1
            if not depth:
                line = body.rfind("\n", 0, start) + 1
                after = re.compile(r"[ \t]*\n?").match(body, tag.end())
                yield _Block(line if not body[line:start].strip() else start, after.end() if after else tag.end(), kind, told)


def _places(rest: str) -> dict[Place, int]:
    """Where a block can stand in what is left of a template: at line starts of its top level."""
    blocks = list(_blocks(rest))
    first = max((block.end for block in blocks if block.kind == "macro"), default=0)
    starts = [first] + [match.end() for match in re.finditer("\n", rest)]
    free = [at for at in starts if at >= first and at < len(rest) and not any(block.start < at < block.end for block in blocks)]
    paragraphs = [at for at in free if rest[:at].endswith("\n\n") and rest[at:].strip()]
    last = paragraphs[-1] if paragraphs else free[-1]
    inner = [at for at in free if first < at < last and rest[at] != "\n"] or [last]
    middle = min(inner, key=lambda at: abs(at - (first + last) / 2))
    return {"first": first, "middle": middle, "last": last}
