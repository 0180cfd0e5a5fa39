"""Items worth asking the language model about: those that the run's conventional recommender ranks highest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from score_rag.data.log import Event
from score_rag.pipeline.run import Run

__all__ = ["find_candidates"]


def find_candidates(run: Run, user_id: str | None, history: Sequence[Event], count: int) -> list[str]:
    """The `count` items that the recommender ranks highest among those not in `history`, best first.

    A training user is ranked by the vectors that the stage wrote, where the model scores by vectors: nothing is computed again, and torch
    is not loaded. Everybody else is ranked by the model from their history. Both stay in memory, so that a request reads no file.
    """
    judged = {event.item_id for event in history}
    vectors = run.crm_vectors
    if user_id is None or vectors is None or user_id not in vectors.place_of:
        return [item for item, _ in run.crm.recommend_history(history, count, exclude=judged)]
    scores = vectors.items @ vectors.users[vectors.place_of[user_id]] + vectors.biases
    order = np.argsort(-scores, kind="stable")
    return [vectors.item_ids[place] for place in order if vectors.item_ids[place] not in judged][:count]
