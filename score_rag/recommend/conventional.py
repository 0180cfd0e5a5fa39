"""Answers by the conventional recommender alone: what a run can say while its later stages are missing.

Where the `crm` stage is finished, its recommender answers; before that, one in closed form that is fitted on the prepared data in seconds
(item-kNN, or like-rates where there are very many items). Its scores become P(like) by calibration on validation events.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from score_rag.arguments import Time, read_count
from score_rag.crm.interface import CollaborativeModel, UserHistory
from score_rag.data.interactions import Interactions, event_rows
from score_rag.data.log import Event, Item
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.provenance import provenance_of_crm, provenance_of_data
from score_rag.pipeline.run import Run
from score_rag.pipeline.stages import STAGES, stages
from score_rag.pipeline.state import finished_record, judge
from score_rag.predictor.calibration import Calibration, fit_calibration
from score_rag.recommend.answering import fewer
from score_rag.recommend.question import History, find_asker, find_question
from score_rag.recommend.recommendation import Recommendation
from score_rag.recommend.recommender import Recommender, open_recommender

__all__ = ["ConventionalRecommender", "open_as_far_as_run", "open_conventional"]

_PAIRS = 10**9
"""Pairs of judgements of one user, over all users, that item-kNN compares in seconds."""
_EVENTS = 2_000
"""Validation events that calibrate, at most."""


def open_as_far_as_run(pipeline: Pipeline) -> Recommender | ConventionalRecommender:
    """The whole method where all its stages are finished, and else the conventional recommender alone.

    Raises:
        StageError: Not even the data is read.
    """
    if all(finished_record(pipeline, stage) is not None for stage in STAGES):
        return open_recommender(pipeline)
    return open_conventional(pipeline)


def open_conventional(pipeline: Pipeline) -> ConventionalRecommender:
    """The conventional recommender of a run: that of its `crm` stage where it is finished, or one from its data alone.

    Raises:
        StageError: The data is not read.
    """
    run = Run.open(pipeline, stages=["data"])
    crm = next(stage for stage in stages(pipeline) if stage.name == "crm")
    # One that was trained on other data would know other items.
    if judge(pipeline, crm, inputs=False)[0] == "finished":
        return ConventionalRecommender(run, run.crm, provenance_of_crm(run.folder))
    model = fit_from_data(run.histories, history=pipeline.data.history)
    return ConventionalRecommender(
        run, model, f"{model.name}, fitted on this data just now; the recommender of the pipeline is not trained yet"
    )


def fit_from_data(interactions: Interactions, *, history: Any = "all") -> CollaborativeModel:
    """A recommender that needs no training, bound to all judgements."""
    from score_rag.crm.registry import make_model

    judged = interactions.learned.group_by("user_id").agg(pl.col("item_id").n_unique())["item_id"].cast(pl.Float64())
    kind = "item-knn" if (judged * judged).sum() <= _PAIRS else "like-rate"
    return make_model(kind, history=history).fit(interactions).bind(interactions.log)


class ConventionalRecommender:
    """Answers as `Recommender` does, by the conventional recommender alone; every answer's `route` is `recommender-alone`.

    Args:
        run: Its data is finished.
        model: Bound to all judgements.
        told: What the model is.
    """

    def __init__(self, run: Run, model: CollaborativeModel, told: str) -> None:
        self.run = run
        self.model = model
        self._parts = {**provenance_of_data(run.folder), "crm": told}
        self._calibration = _calibrate(model, run.interactions, run.pipeline.seed)

    def __repr__(self) -> str:
        return f"ConventionalRecommender({self.run!r}, {self.model.name})"

    def recommend(
        self, user_id: str | int | None, item_id: str | int, *, history: History | None = None, as_of: Time | None = None
    ) -> Recommendation:
        """Will this user like this item? Arguments and errors are those of `Recommender.recommend`."""
        asked = find_question(self.run.histories, user_id, item_id, history=history, as_of=as_of)
        question = asked.question
        scores = self._scores(question.user_id, question.history, question.as_of, self.model.places_of([question.item_id]))
        return self._answer(question.user_id, asked.item, float(scores[0]), question.history, question.as_of, asked.notes)

    def top(self, user_id: str | int | None, k: int, *, history: History | None = None, as_of: Time | None = None) -> list[Recommendation]:
        """The `k` items that the recommender ranks highest; arguments and errors are those of `Recommender.top`."""
        k = read_count(k, where="k")
        interactions = self.run.histories
        user, events, when = find_asker(interactions, user_id, history, as_of)
        every = np.arange(len(self.model.item_ids))
        scores = self._scores(user, events, when, every)
        judged = {event.item_id for event in events}
        order = [place for place in np.argsort(-scores, kind="stable").tolist() if self.model.item_ids[place] not in judged][:k]
        notes = fewer(k, len(every), len(order))
        return [
            self._answer(user, interactions.catalogue[self.model.item_ids[place]], float(scores[place]), events, when, notes)
            for place in order
        ]

    def _scores(self, user: str | None, history: Sequence[Event], when: int | None, places: np.ndarray) -> np.ndarray:
        return self.model.score_places([UserHistory(history, user, when)], [places])[0]

    def _answer(
        self, user: str | None, item: Item, score: float, history: Sequence[Event], when: int | None, notes: Sequence[str]
    ) -> Recommendation:
        warnings = [*notes, f"{self.model.name} alone answers: no language model and no evidence, until the other stages have run"]
        if self._calibration is None:
            warnings.append("P(like) is not calibrated: the validation events do not hold both answers")
        if when is not None:
            warnings.append("the recommender was fitted on all training events, those after this time among them")
        if not history:
            warnings.append("no history is known at that time: the answer rests on the item alone")
        found = (self._calibration or Calibration()).probabilities(np.array([score]))
        probability = float(found[0])
        return Recommendation(
            user_id=user,
            item=item,
            probability=probability,
            verdict="Yes" if probability >= 0.5 else "No",
            mass=None,
            neighbours=[],
            prompt="",
            parts=dict(self._parts),
            route="recommender-alone",
            warnings=warnings,
        )


def _calibrate(model: CollaborativeModel, interactions: Interactions, seed: int) -> Calibration | None:
    """From scores to probabilities, by validation events; None where those do not hold both answers."""
    held_out = interactions.events.filter(pl.col("split") == "valid")
    if len(held_out) > _EVENTS:
        held_out = held_out.sample(_EVENTS, seed=seed)
    rows = list(event_rows(held_out))
    labels = np.array([event.liked for event in rows], dtype=np.int64)
    if len(np.unique(labels)) < 2:
        return None
    scores = model.score_events(rows).astype(np.float64)
    found = fit_calibration(scores, labels)
    if found == Calibration():
        # Scores that are all the same say only how often events are liked.
        rate = float(labels.mean())
        return Calibration(1.0, float(scores[0]) - math.log(rate / (1 - rate)))
    return found
