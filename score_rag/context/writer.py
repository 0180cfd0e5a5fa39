"""From questions to prompts: evidence as facts, other users as neighbours, then the text; the one place where they come together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from score_rag.context.evidence import Evidence
from score_rag.context.finder import RetrievedContext
from score_rag.context.levels import Levels
from score_rag.context.neighbours import Neighbour, Witnesses
from score_rag.context.prompt import PromptBuilder, Written
from score_rag.context.question import Question, told_questions
from score_rag.context.variables import Facts

__all__ = ["QuestionWriter", "Told"]


@dataclass(frozen=True)
class Told(Written):
    """A prompt, and the evidence that stands in it.

    Attributes:
        facts: By kind, what was told of the answer.
        neighbours: The other users that were told, best first.
    """

    facts: Facts | None = None
    neighbours: tuple[Neighbour, ...] = ()


class QuestionWriter:
    """Writes prompts.

    Args:
        builder: Fills in the prompt.
        evidence: Numbers of what is known.
        levels: What those numbers are called.
        witnesses: Turns retrieved users into what they say of the item.
    """

    def __init__(self, builder: PromptBuilder, evidence: Evidence, levels: Levels, witnesses: Witnesses) -> None:
        self.builder = builder
        self.evidence = evidence
        self.levels = levels
        self.witnesses = witnesses
        body = builder.prompt.body
        self.whole = any(name in body for name in ("similar_liked", "similar_disliked", "shared"))
        """Whether the prompt tells more of a neighbour than behaviour and verdict."""

    def write(
        self,
        questions: Sequence[Question],
        contexts: Sequence[RetrievedContext] | None = None,
        *,
        last: int | None = None,
        hide: Collection[str] | Sequence[Collection[str]] = (),
        shuffled: Mapping[str, np.ndarray] | None = None,
        keep_values: bool = False,
    ) -> list[Told]:
        """One prompt a question.

        Args:
            contexts: Who was found for each question; None tells no neighbours.
            last: Tell so many events instead of the builder's own number.
            hide: Kinds of evidence (or `neighbours`, or the items' `name`) to call unknown: for all questions, or for each its own.
            shuffled: By kind, whose evidence each question is told instead of its own: places among the questions [n].
            keep_values: As for `PromptBuilder.write`.
        """
        hidden = _each(hide, len(questions))
        shuffled = shuffled or {}
        kinds = self.builder.kinds
        own = self._facts(questions, kinds, hidden)
        for kind, places in shuffled.items():
            if kind in kinds:
                own = [{**facts, kind: own[place][kind]} for facts, place in zip(own, places, strict=True)]
        shown = [self.builder.shown(question.history, last) for question in questions]
        earlier = self._histories(questions, shown, kinds, hidden)
        out = []
        for row, question in enumerate(questions):
            neighbours: list[Neighbour] = []
            if contexts is not None and self.builder.tells_neighbours and "neighbours" not in hidden[row]:
                place = int(shuffled["neighbours"][row]) if "neighbours" in shuffled else row
                neighbours = [
                    self.witnesses.view(
                        hit,
                        item_id=question.item_id,
                        as_of=question.as_of,
                        history=question.history,
                        score=score if contexts[place].reranked else None,
                        whole=self.whole,
                    )
                    for hit, score in contexts[place].kept
                ]
            written = self.builder.write(
                shown[row],
                question.item_id,
                facts=own[row],
                history_facts=earlier[row],
                neighbours=neighbours,
                named="name" not in hidden[row],
                keep_values=keep_values,
            )
            told = neighbours[: len(neighbours) - written.left_out.neighbours]
            out.append(Told(written.text, written.left_out, own[row], tuple(told), values=written.values))
        return out

    def _histories(
        self, questions: Sequence[Question], shown: Sequence[Sequence[Any]], kinds: Collection[str], hidden: Sequence[Collection[str]]
    ) -> list[list[Facts]]:
        """What was known before each told event, at its own time."""
        if not kinds:
            return [[{} for _ in events] for events in shown]
        flat: list[Question] = []
        hide: list[Collection[str]] = []
        for question, events, unknown in zip(questions, shown, hidden, strict=True):
            flat += told_questions(question, events)
            hide += [unknown] * len(events)
        facts = iter(self._facts(flat, kinds, hide))
        return [[next(facts) for _ in events] for events in shown]

    def _facts(self, questions: Sequence[Question], kinds: Collection[str], hidden: Sequence[Collection[str]]) -> list[dict[str, Any]]:
        columns = {name: self.levels.facts(name, values) for name, values in self.evidence.values(questions, kinds).items()}
        out = []
        for row, unknown in enumerate(hidden):
            facts: dict[str, Any] = self.builder.unknown()
            for name, told in columns.items():
                kind, _, expert = name.partition(".")
                if kind in unknown:
                    continue
                if expert:
                    facts[kind] = {**facts[kind], expert: told[row]}
                else:
                    facts[kind] = told[row]
            out.append(facts)
        return out


def _each(hide: Collection[str] | Sequence[Collection[str]], count: int) -> list[Collection[str]]:
    if all(isinstance(kind, str) for kind in hide):
        return [frozenset(hide)] * count  # type: ignore[arg-type]  # all are names
    return list(hide)
