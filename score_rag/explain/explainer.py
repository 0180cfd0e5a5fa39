"""Explains answers of a finished run: the parts of the prompt, where the verdict looks, and P(like) without each part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from score_rag.arguments import Time
from score_rag.context.levels import Fact
from score_rag.context.segments import Span, kind_of, segment
from score_rag.context.writer import Told
from score_rag.explain.explanation import CAUTION, NO_ATTENTION, NO_TORCH, Explanation, PromptLook, SegmentLook, TokenLook
from score_rag.explain.leave_out import leave_out
from score_rag.pipeline.run import Run
from score_rag.predictor.answer import Answer
from score_rag.progress import Report, silent
from score_rag.recommend.answering import warnings_of
from score_rag.recommend.explain import explain
from score_rag.recommend.labels import evidence_label
from score_rag.recommend.question import FoundQuestion, History, find_question

if TYPE_CHECKING:
    from score_rag.predictor.attention import AttentionReader
    from score_rag.predictor.tokens import PlacedTokens

__all__ = ["Explainer", "explain_question"]


def explain_question(
    run: Run, user_id: str | int | None, item_id: str | int, *, history: History | None = None, as_of: Time | None = None
) -> Explanation:
    """What one answer rests on.

    Args:
        run: A finished run.
        user_id: As in `Recommender.recommend`, and so the others.

    Raises:
        InputError: The user, the item or a name in the history is unknown, or an argument is of another form.
        StageError: A stage of the run is not finished.
    """
    return Explainer(run).explain(user_id, item_id, history=history, as_of=as_of)


class Explainer:
    """Explains answers of a run. Thread-safe; what it needs is opened by the run, and stays with it.

    Answers, also those without a part, are the run's own engine's. Attention is read with the run's own weights in torch, unless the run
    names an engine that tells none (`predictor.scoring.engine`: `onnx`, or a server).
    """

    def __init__(self, run: Run) -> None:
        self.run = run

    @property
    def reader(self) -> AttentionReader | None:
        """Reads attention; None where the run's engine tells none, or torch is not installed."""
        if self.run.pipeline.predictor.scoring.engine not in ("auto", "torch") or find_spec("torch") is None:
            return None
        return self.run.attention

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of every explanation."""
        if self.reader is not None:
            return (CAUTION,)
        engine = self.run.pipeline.predictor.scoring.engine
        return (CAUTION, NO_TORCH if engine in ("auto", "torch") else NO_ATTENTION.format(engine=engine))

    def explain(
        self, user_id: str | int | None, item_id: str | int, *, history: History | None = None, as_of: Time | None = None
    ) -> Explanation:
        """What the answer to one question rests on; see `explain_question`."""
        return self.explain_found(find_question(self.run.histories, user_id, item_id, history=history, as_of=as_of))

    def explain_found(self, asked: FoundQuestion) -> Explanation:
        """The same for a question that was looked up already."""
        run = self.run
        _, told = run.write([asked.question], keep_values=True)
        (look,) = self.look(told)
        witnesses, warnings = run.writer.witnesses, warnings_of(run)
        found = explain(asked, told[0], look.answer, witnesses=witnesses, parts=run.provenance, warnings=warnings)
        return Explanation(found, look, self.notes)

    def look(self, told: Sequence[Told], *, report: Report = silent) -> list[PromptLook]:
        """Take prompts apart.

        Args:
            told: Written with `keep_values`.
        """
        prompt, predictor = self.run.prompt, self.run.predictor
        spans = [segment(prompt, one.values or {}, one.text) for one in told]
        texts = [one.text for one in told]
        places: list[dict[str, int]] = []
        for one, parts in zip(told, spans, strict=True):
            places.append({})
            for name in dict.fromkeys(part.name for part in parts):
                values = leave_out(one.values or {}, name)
                text = None if values is None else prompt.render(**values)
                # "unknown" may be longer than what was known.
                if text is not None and text.strip() and predictor.count_tokens(text) <= predictor.max_tokens:
                    places[-1][name] = len(texts)
                    texts.append(text)
        unique = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        scored = predictor.score(list(unique), report=report)
        answers = [scored[unique[text]] for text in texts]
        out = []
        for number, (one, parts) in enumerate(zip(told, spans, strict=True)):
            without = {name: answers[place].probability for name, place in places[number].items()}
            out.append(self._seen(one, parts, answers[number], without))
            report("looking", number + 1, len(told))
        return out

    def _seen(self, told: Told, spans: Sequence[Span], answer: Answer, without: dict[str, float]) -> PromptLook:
        names = list(dict.fromkeys(span.name for span in spans))
        segments = [
            SegmentLook(
                name,
                _label(name, told),
                tuple((span.start, span.end) for span in spans if span.name == name),
                without=without.get(name),
                effect=answer.probability - without[name] if name in without else None,
            )
            for name in names
        ]
        whole = PromptLook(told.text, answer, tuple(spans), tuple(segments))
        if self.reader is None:
            return whole
        tokens, attention = self.reader.read(told.text)
        shares = token_shares(tokens, spans, names)
        heads = attention @ shares
        mean = heads.mean(axis=(0, 1))
        every = attention.mean(axis=(0, 1))
        return replace(
            whole,
            segments=tuple(
                replace(one, tokens=float(shares[:, place].sum()), attention=float(mean[place])) for place, one in enumerate(segments)
            ),
            tokens=tuple(TokenLook(*place, float(found)) for place, found in zip(tokens.places, every, strict=True) if place[0] < place[1]),
            special=float(mean[-1]),
            heads=heads,
        )


def token_shares(tokens: PlacedTokens, spans: Sequence[Span], names: Sequence[str]) -> np.ndarray:
    """float64 [tokens, names + 1]: which share of each token's characters belongs to which segment; each row sums to 1.

    The last column is for tokens that are none of the text.
    """
    out = np.zeros((len(tokens.places), len(names) + 1))
    column = {name: place for place, name in enumerate(names)}
    for row, (start, end) in enumerate(tokens.places):
        if start >= end:
            out[row, -1] = 1.0
            continue
        for span in spans:
            common = min(end, span.end) - max(start, span.start)
            if common > 0:
                out[row, column[span.name]] += common / (end - start)
    return out


def _label(name: str, told: Told) -> str:
    """A segment for people."""
    kind = kind_of(name)
    if kind == "neighbour" and name != "neighbours":
        other = told.neighbours[int(name.partition(" ")[2]) - 1]
        return f"user {other.user_id}, {other.verdict or 'never judged'} it"
    if kind == "evidence":
        fact = (told.facts or {}).get(name.partition(".")[0])
        fact = fact.get(name.partition(".")[2]) if isinstance(fact, dict) else fact
        return evidence_label(name) + (f": {fact.word}" if isinstance(fact, Fact) else "")
    words = {"neighbours": "other users", "history": "the user's own history", "target": "the item in question"}
    return words.get(name, "the prompt's own words")
