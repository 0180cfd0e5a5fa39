"""Where a run's feedback is, and what it changes in the parts that answer: each judgement taken in where it is counted, at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from score_rag.crm.interface import CollaborativeModel, UserHistory
from score_rag.data.log import Event, Item
from score_rag.data.plain import plain_item
from score_rag.feedback.changes import Change
from score_rag.feedback.log import FeedbackLog
from score_rag.feedback.record import Key
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
    """Let a run's parts know of changes of the feedback. The caller sees to it that no other does so at the same time.

    Of each user, item and second that a change speaks of, what the log says now is known afterwards, and where it says nothing, what the
    source does: as in data and log that are read anew.
    """
    for change in changes:
        if change.new is not None:
            _describe(run, change.new.item_id, change.new.item)
    touched = dict.fromkeys(one.key for change in changes for one in (change.old, change.new) if one is not None)
    # What was written last comes last, as it does in data that is read anew.
    for change in changes:
        if change.new is not None:
            touched[change.new.key] = touched.pop(change.new.key)
    for key in touched:
        said = run.feedback.standing(key)
        _settle(run, key, None if said is None else said.event)


def _describe(run: ServingRun, item_id: str, item: Item | None) -> None:
    world, judges = run.interactions, _judges(run)
    known = world.catalogue.get(item_id)
    if known is None or (item is not None and item_id not in run.source_items and plain_item(item) != known):
        world.catalogue[item_id] = plain_item(item or Item(item_id, item_id))
        run.writer.witnesses.similarity.put(item_id)
        if judges is not None:
            judges.describe(item_id)


def _settle(run: ServingRun, key: Key, said: Event | None) -> None:
    """Let one judgement stand for a user, item and second; without one, what the source had there."""
    world, replaced = run.interactions, run.replaced
    for log, source in ((world.log, replaced.all), (world.train_log, replaced.learned)):
        now = said or source.get(key)
        old = log.drop(Event(key[0], key[1], False, key[2])) if now is None else log.put(now)
        if old is not None and key not in replaced.keys:
            # The source's own: it counts again when the feedback is forgotten.
            source[key] = old
        if log is world.train_log:
            _count(run, old, now)
    if said is None:
        replaced.forget(key)
    else:
        replaced.keys.add(key)


def _count(run: ServingRun, old: Event | None, now: Event | None) -> None:
    judges = _judges(run)
    if old is not None:
        run.writer.evidence.drop(old)
        if judges is not None:
            judges.drop(old)
    if now is not None:
        run.writer.evidence.put(now)
        if judges is not None:
            judges.put(now)


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
