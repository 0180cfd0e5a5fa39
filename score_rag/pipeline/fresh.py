"""Where a run's feedback is, and what it changes in the parts that answer: each judgement taken in where it is counted, at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from score_rag.crm.interface import CollaborativeModel, UserHistory
from score_rag.data.log import Event, Item
from score_rag.data.plain import plain_item
from score_rag.feedback.log import Change, FeedbackLog
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.state import run_folder

if TYPE_CHECKING:
    from score_rag.context.judges import Judges
    from score_rag.pipeline.serving_run import ServingRun

__all__ = ["LaterItems", "open_feedback", "take_in"]


def open_feedback(pipeline: Pipeline) -> FeedbackLog:
    """The log of a run's feedback, `runs/<name>/feedback/log.jsonl`."""
    return FeedbackLog(run_folder(pipeline) / "feedback")


def take_in(run: ServingRun, changes: Sequence[Change]) -> None:
    """Let a run's parts know of changes of the feedback. The caller sees to it that no other does so at the same time."""
    for change in changes:
        if change.old is not None:
            _forget(run, change.old.event)
        _know(run, change.new.event, change.new.item)


def _know(run: ServingRun, event: Event, item: Item | None) -> None:
    world, writer, judges = run.interactions, run.writer, _judges(run)
    known = world.catalogue.get(event.item_id)
    if known is None or (item is not None and event.item_id not in run.source_items and plain_item(item) != known):
        world.catalogue[event.item_id] = plain_item(item or Item(event.item_id, event.item_id))
        writer.witnesses.similarity.put(event.item_id)
        if judges is not None:
            judges.describe(event.item_id)
    for log in (world.log, world.train_log):
        old = log.put(event)
        if old is not None and log is world.train_log:
            _uncount(run, old)
    writer.evidence.put(event)
    if judges is not None:
        judges.put(event)


def _forget(run: ServingRun, event: Event) -> None:
    run.interactions.log.drop(event)
    old = run.interactions.train_log.drop(event)
    if old is not None:
        _uncount(run, old)


def _uncount(run: ServingRun, event: Event) -> None:
    run.writer.evidence.drop(event)
    if (judges := _judges(run)) is not None:
        judges.drop(event)


def _judges(run: ServingRun) -> Judges | None:
    """Who judged what, where the finder chooses by it or the prompt tells the crowd."""
    return run.finder.judges or run.writer.evidence.judges


class LaterItems:
    """A trained recommender beside a catalogue that may have items that it never saw: of those it expects nothing, and reads nothing.

    Args:
        model: The recommender, as it was trained.
    """

    def __init__(self, model: CollaborativeModel) -> None:
        self.model = model
        self._known = frozenset(model.item_ids)

    def read(self, history: Sequence[Event]) -> list[Event]:
        """The part of a history that it knows the items of."""
        return [event for event in history if event.item_id in self._known]

    def places_of(self, item_ids: Sequence[str]) -> np.ndarray:
        """int64 [n]; -1 is an item that it does not know."""
        known = self.model.places_of([item for item in item_ids if item in self._known])
        out = np.full(len(item_ids), -1, dtype=np.int64)
        out[[item in self._known for item in item_ids]] = known
        return out

    def score_places(self, asked: Sequence[UserHistory], places: Sequence[np.ndarray]) -> list[np.ndarray]:
        """As the model does; nan for an item that it does not know."""
        found = self.model.score_places(
            [one._replace(history=self.read(one.history)) for one in asked], [place[place >= 0] for place in places]
        )
        out = []
        for place, scores in zip(places, found, strict=True):
            row = np.full(len(place), np.nan, dtype=np.float32)
            row[place >= 0] = scores
            out.append(row)
        return out
