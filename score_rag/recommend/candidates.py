"""Items worth asking the language model about: those that the run's conventional recommender ranks highest, and a few that it never saw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from score_rag.crm.interface import UserHistory
from score_rag.data.log import Event
from score_rag.pipeline.run import Run
from score_rag.pipeline.serving_run import ServingRun

__all__ = ["find_candidates"]

_NEW = 10
"""One candidate in so many may be an item that came into the catalogue after training."""


def find_candidates(run: Run, user_id: str | None, history: Sequence[Event], count: int, *, exclude_seen: bool = True) -> list[str]:
    """The `count` items that the recommender ranks highest, best first; without those of `history`, unless they may come again.

    A training user who did nothing since is ranked by the vectors that the stage wrote, where the model scores by vectors: nothing is
    computed again, and torch is not loaded. Everybody else is ranked by the model from their history. Both stay in memory, so that a
    request reads no file. Where the catalogue has items that no model was trained on, the last places go to those most like what was liked.
    """
    judged = {event.item_id for event in history} if exclude_seen else set()
    new = _new_items(run, history, judged, count // _NEW)
    return [*_ranked(run, user_id, history, judged, count - len(new)), *new]


def _ranked(run: Run, user_id: str | None, history: Sequence[Event], judged: set[str], count: int) -> list[str]:
    vectors = run.crm_vectors
    if user_id is not None and vectors is not None and user_id in vectors.place_of and not _has_news(run, user_id):
        scores = vectors.items @ vectors.users[vectors.place_of[user_id]] + vectors.biases
        return _first(vectors.item_ids, scores, judged, count)
    if not isinstance(run, ServingRun):
        return [item for item, _ in run.crm.recommend_history(history, count, exclude=judged)]
    model = run.crm
    every = np.arange(len(model.item_ids))
    (scores,) = run.recommender.score_places([UserHistory(history, user_id)], [every])
    return _first(model.item_ids, scores, judged, count)


def _first(item_ids: Sequence[str], scores: np.ndarray, judged: set[str], count: int) -> list[str]:
    order = (item_ids[place] for place in np.argsort(-scores, kind="stable").tolist())
    return [item for item in order if item not in judged][:count]


def _has_news(run: Run, user_id: str) -> bool:
    """Whether the user judged something after the training data of the run was written."""
    return isinstance(run, ServingRun) and run.has_news(user_id)


def _new_items(run: Run, history: Sequence[Event], judged: set[str], most: int) -> list[str]:
    """Items that the recommender does not know, most like the liked ones first; only such as share something with one of them."""
    if not isinstance(run, ServingRun) or not most:
        return []
    new = [item for item in run.later_items if item not in judged]
    liked = [event.item_id for event in history if event.liked][-20:]
    if not new or not liked:
        return []
    alike = run.writer.witnesses.similarity
    scored = sorted((-max(alike(item, one) for one in liked), item) for item in new)
    return [item for score, item in scored if score < 0][:most]
