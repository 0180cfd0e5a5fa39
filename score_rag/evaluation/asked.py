"""Held-out questions asked in many ways: other users are retrieved and reranked once, each different prompt is scored once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from score_rag.context.finder import RetrievedContext
from score_rag.data.log import Event
from score_rag.files import digest_text
from score_rag.pipeline.run import Run
from score_rag.progress import Report, silent

__all__ = ["NEIGHBOURS", "AskedQuestions", "cut_contexts"]

NEIGHBOURS = "neighbours"
"""The kind of evidence that other users' behaviour is."""


def cut_contexts(contexts: Sequence[RetrievedContext], kept: int) -> list[RetrievedContext]:
    """Contexts of which only the best `kept` users are told (the paper's Ks)."""
    return [replace(context, kept=context.kept[:kept]) for context in contexts]


class AskedQuestions:
    """Questions of a finished run, and their answers in each way they are asked.

    Args:
        run: The run.
        events: Held-out events.
        most: Keep so many other users a question where that is more than the run's own number, so that fewer are a cut.
    """

    def __init__(self, run: Run, events: Sequence[Event], *, most: int = 0, report: Report = silent) -> None:
        self.run = run
        self.report = report
        self.questions = run.finder.questions(events)
        self.kinds: tuple[str, ...] = run.writer.builder.kinds
        self.tells_neighbours = run.writer.builder.tells_neighbours
        if self.tells_neighbours:
            self.kinds = (*self.kinds, NEIGHBOURS)
            finder = run.make_finder(run.scorer)
            self.own = finder.top_n
            finder.top_n = max(most, self.own)
            self.widest = finder.find(self.questions, report=report)
        else:
            self.own, self.widest = 0, [RetrievedContext()] * len(self.questions)
        self.contexts = cut_contexts(self.widest, self.own)
        self._scores: dict[str, float] = {}

    def score(
        self,
        *,
        hide: Collection[str] = (),
        contexts: Sequence[RetrievedContext] | None = None,
        shuffled: Mapping[str, np.ndarray] | None = None,
    ) -> np.ndarray:
        """float64 [n]: P(like) of each question.

        Args:
            hide: Kinds of evidence that are called unknown.
            contexts: Who is told; the run's own choice by default.
            shuffled: By kind, whose evidence each question is told (see `QuestionWriter.write`).
        """
        contexts = self.contexts if contexts is None else contexts
        told = self.run.writer.write(self.questions, contexts, hide=tuple(hide), shuffled=shuffled)
        keys = [digest_text(one.text) for one in told]
        new = {key: one.text for key, one in zip(keys, told, strict=True) if key not in self._scores}
        answers = self.run.predictor.score(list(new.values()), report=self.report)
        self._scores.update(zip(new, (answer.probability for answer in answers), strict=True))
        return np.array([self._scores[key] for key in keys])
