"""Which characters of a prompt say what: the instructions, each other user, the history, each word of evidence, the item in question.

The template itself is made to say it. Its parts are bracketed by characters that the text has not, it is filled in once more, and without
the brackets the text must be the same to the byte. What stands in a loop over other users or over the history belongs to them as a whole;
of evidence and of the item in question, their own words do. All else is the prompt's own text: the instructions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from score_rag.context.brackets import Brackets, bracketed_template, bracketed_values
from score_rag.context.evidence import KINDS
from score_rag.errors import PromptError
from score_rag.prompts import Prompt

__all__ = ["INSTRUCTIONS", "Span", "SpanKind", "segment"]

SpanKind = Literal["instructions", "neighbour", "history", "evidence", "target"]
INSTRUCTIONS = "instructions"


@dataclass(frozen=True)
class Span:
    """A stretch of a prompt that says one thing.

    Attributes:
        start: First character.
        end: One past the last.
        name: `instructions`, `neighbour 1`, `history`, `mood`, `expectation.din`, `target`; all spans of a name make up a segment.
    """

    start: int
    end: int
    name: str

    @property
    def kind(self) -> SpanKind:
        """What sort of thing it says."""
        return kind_of(self.name)


def kind_of(name: str) -> SpanKind:
    """The kind of a segment.

    >>> kind_of("neighbour 2"), kind_of("expectation.din")
    ('neighbour', 'evidence')
    """
    if name.partition(".")[0] in KINDS:
        return "evidence"
    kinds: dict[str, SpanKind] = {"neighbour": "neighbour", "neighbours": "neighbour", "history": "history", "target": "target"}
    return kinds.get(name.partition(" ")[0], "instructions")


def segment(prompt: Prompt, values: Mapping[str, Any], text: str | None = None) -> list[Span]:
    """The spans of a filled-in prompt, in order; they tile its text.

    Args:
        prompt: Declares variables of a question (`PREDICT_VARIABLES`).
        values: What it is filled in with (`Written.values`).
        text: The filled-in prompt, where it is at hand.

    Raises:
        PromptError: The prompt cannot be filled in.
    """
    text = prompt.render(**values) if text is None else text
    for of_template, of_values in ((True, True), (True, False), (False, True)):
        # A template that counts or compares what it is given may say something else for bracketed words; then fewer are bracketed.
        brackets = Brackets(text)
        template = bracketed_template(prompt, brackets, values.get("neighbours", ())) if of_template else prompt._template
        given = bracketed_values(values, brackets) if of_values else values
        try:
            found = brackets.read(_filled_in(template, given))
        except PromptError:
            continue
        if found is not None and found[0] == text:
            return _merged(_settled(found[1]))
    return [Span(0, len(text), INSTRUCTIONS)] if text else []


def _filled_in(template: Any, values: Mapping[str, Any]) -> str:
    from jinja2 import TemplateError

    try:
        return str(template.render(**values))
    except (TemplateError, TypeError, ValueError, AttributeError, ArithmeticError, LookupError) as error:
        raise PromptError("a prompt cannot be filled in with brackets around its words", found=str(error)) from error


def _settled(stacks: Sequence[tuple[str, ...]]) -> list[str]:
    """One name a character, from the brackets around it, outermost first."""
    names = {name for stack in stacks for name in stack}
    # Where each recommender's word is known, what stands between them is the prompt's own.
    whole = {kind for kind in KINDS if any(name.startswith(f"{kind}.") for name in names)}
    out = []
    for stack in stacks:
        outer = next((name for name in stack if kind_of(name) in ("neighbour", "history")), None)
        inner = next((name for name in reversed(stack) if name not in whole), INSTRUCTIONS)
        out.append(outer or inner)
    return out


def _merged(names: Sequence[str]) -> list[Span]:
    out: list[Span] = []
    start = 0
    for place in range(1, len(names) + 1):
        if place == len(names) or names[place] != names[start]:
            out.append(Span(start, place, names[start]))
            start = place
    return out
