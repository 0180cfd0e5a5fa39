"""What is known of a question's answer before it is asked, as numbers: each from strictly earlier events, each honest in training.

| kind | what it says |
|---|---|
| `expectation` | what each conventional recommender expects; of training events, one that saw only earlier blocks of time |
| `everyone` | the item's like-rate among training judgements before the question |
| `mood` | the user's own like-rate before the question |
| `alike` | how the user judged the items most like this one, through other users' judgements (item-kNN) |
| `crowd` | how the item's judges had judged it, those whose behaviour reads alike counting more |

Every event of a history has its own numbers, of its own time: a prompt may tell what was expected and what became of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import polars as pl

from score_rag.context.question import Question
from score_rag.context.rates import ItemRates
from score_rag.crm.expectations import EXPECTATION_COLUMNS, Expected
from score_rag.crm.interface import UserHistory
from score_rag.data.interactions import Interactions
from score_rag.data.log import Event

if TYPE_CHECKING:
    from score_rag.context.judges import Judges

__all__ = ["ALIKE", "FROM_OTHERS", "KINDS", "TOGETHER", "Evidence", "Expert"]

KINDS = ("expectation", "everyone", "mood", "alike", "crowd")
FROM_OTHERS = ("expectation", "everyone", "alike", "crowd")
"""The kinds that tell what other users did: collaborative information."""
ALIKE = "item-knn"
"""The recommender behind `alike`."""
TOGETHER = "together"
"""What all recommenders expect: the mean of their scores, each less its mean and over its spread on training events."""

_KEPT = 500_000
"""Most questions whose numbers are kept, so that a history told again costs nothing."""


class Expert(Protocol):
    """A recommender, as far as it is asked what it expects."""

    def places_of(self, item_ids: Sequence[str]) -> np.ndarray:
        """int64 [n]."""

    def score_places(self, asked: Sequence[UserHistory], places: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Scores of items by their places, for each who asks; nan is unknown."""


class Evidence:
    """Numbers for questions.

    Args:
        interactions: Training events for `everyone`.
        experts: Recommenders fitted on all training events and bound to the log, by name; `ALIKE` is told as `alike`.
        expectations: What earlier recommenders expected of training events: `EXPECTATION_COLUMNS`, then a column for each expert.
        drawn_until: Where only some training events were asked about, the last second of them all: of the others nothing is known.
        judges: Weighs an item's judges, for `crowd`.
        history: `all`, or `positives`: then the user's dislikes are not read, and `mood` is unknown.
    """

    def __init__(
        self,
        interactions: Interactions,
        experts: Mapping[str, Expert],
        expectations: pl.DataFrame | None = None,
        judges: Judges | None = None,
        *,
        drawn_until: int | None = None,
        history: str = "all",
    ) -> None:
        self.rates = ItemRates(interactions)
        self.experts = dict(experts)
        self.judges = judges
        self.history = history
        self._asked = Expected(expectations, self.experts) if expectations is not None else None
        self._learned, self._drawn_until = interactions, drawn_until
        self._spread = {name: _spread(self._asked.scores(name) if self._asked else np.zeros(0)) for name in self.experts}
        self._kept: dict[str, dict[tuple[str, str, int], float]] = {}

    def put(self, event: Event) -> None:
        """Count one more judgement."""
        self.rates.put(event)
        self._kept = {}

    def drop(self, event: Event) -> None:
        """Count a judgement no more."""
        self.rates.drop(event)
        self._kept = {}

    @property
    def expected(self) -> list[str]:
        """Names that `expectation` has: each recommender, and `TOGETHER`."""
        names = [name for name in self.experts if name != ALIKE]
        return [*names, TOGETHER] if names else []

    def columns(self, kinds: Collection[str]) -> list[str]:
        """Names of the numbers behind kinds: one each, but for `expectation`, which has one for each recommender."""
        out = [f"expectation.{name}" for name in self.expected] if "expectation" in kinds else []
        return out + [kind for kind in KINDS if kind in kinds and kind != "expectation"]

    def values(self, questions: Sequence[Question], kinds: Collection[str]) -> dict[str, np.ndarray]:
        """float64 [n] for each of `columns(kinds)`; nan is unknown."""
        return {name: self._column(name, questions) for name in self.columns(kinds)}

    def _column(self, name: str, questions: Sequence[Question]) -> np.ndarray:
        kept = self._kept.setdefault(name, {})
        if len(kept) > _KEPT:
            kept.clear()
        out = np.full(len(questions), np.nan)
        missing = []
        for row, question in enumerate(questions):
            value = kept.get(question.key) if question.key is not None else None
            if value is None:
                missing.append(row)
            else:
                out[row] = value
        if missing:
            asked = [questions[row] for row in missing]
            out[missing] = self._computed(name, asked)
            kept.update({q.key: float(value) for q, value in zip(asked, out[missing], strict=True) if q.key is not None})
        return out

    def _computed(self, name: str, questions: Sequence[Question]) -> np.ndarray:
        if name == "everyone":
            return np.array([self.rates.rate(q.item_id, q.as_of) for q in questions])
        if name == "mood":
            return np.array([self._mood(q) for q in questions])
        if name == "crowd":
            return self.judges.crowd(questions) if self.judges is not None else np.full(len(questions), np.nan)
        expert = ALIKE if name == "alike" else name.removeprefix("expectation.")
        if expert != TOGETHER:
            return self._expected(expert, questions)
        names = [name for name in self.expected if name != TOGETHER]
        scores = [(self._column(f"expectation.{name}", questions) - self._spread[name][0]) / self._spread[name][1] for name in names]
        return np.asarray(np.mean(scores, axis=0))

    def _mood(self, question: Question) -> float:
        if self.history != "all" or not question.history:
            return float("nan")
        liked = sum(event.liked for event in question.history)
        return self.rates.smoothed(liked, len(question.history), question.as_of)

    def _expected(self, name: str, questions: Sequence[Question]) -> np.ndarray:
        """Of training events what earlier recommenders expected, of all else what the one of all training events says."""
        model = self.experts.get(name)
        if model is None:
            return np.full(len(questions), np.nan)
        out = np.full(len(questions), np.nan)
        rows = np.arange(len(questions))
        if self._asked is not None:
            found = self._asked.rows([q.key for q in questions])
            out[found >= 0] = self._asked.scores(name)[found[found >= 0]]
            missing = np.flatnonzero(found < 0).tolist()
            rows = np.array([row for row in missing if not self._was_learned(questions[row].key)], dtype=np.int64)
        if len(rows):
            asked = [questions[row] for row in rows.tolist()]
            histories = [UserHistory(q.history, q.user_id, q.as_of) for q in asked]
            places: list[Any] = [model.places_of([q.item_id]) for q in asked]
            out[rows] = np.concatenate(model.score_places(histories, places))
            if name == ALIKE:
                out[rows[[not q.history for q in asked]]] = np.nan
        return out

    def _was_learned(self, key: tuple[str, str, int] | None) -> bool:
        """Whether this is a training event that no earlier recommender was asked about: the one of all training events has seen it."""
        if self._drawn_until is None or key is None or key[2] > self._drawn_until:
            return False
        return self._learned.train_log.holds(*key) or bool(self._sampled.rows([key])[0] >= 0)

    @cached_property
    def _sampled(self) -> Expected:
        """Sampled negatives that recommenders were trained on; they are in no log."""
        return Expected(self._learned.learned.filter("sampled").select(EXPECTATION_COLUMNS), ())


def _spread(values: np.ndarray) -> tuple[float, float]:
    """(mean, standard deviation) of known scores; (0, 1) where there are none."""
    there = values[~np.isnan(values)] if len(values) else values
    return (float(there.mean()), float(there.std()) or 1.0) if len(there) else (0.0, 1.0)
