"""A finished run as it answers now: its models as they were trained, the serving index, and the events that have come in since.

The data is that of the serving index's generation (without one, the run's own), with the feedback log on top. A judgement that comes in
later is taken in by `catch_up`, in place: nothing is counted anew. Another generation of the index, or another log, makes another
`ServingRun` (`renewed`), which shares what was trained. Evaluation opens a plain `Run`, which knows none of this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self

import polars as pl

from score_rag.data.interactions import Interactions
from score_rag.errors import DataError, IndexMismatchError
from score_rag.feedback.log import FeedbackLog
from score_rag.feedback.merge import Replaced, merged, replaced
from score_rag.files import read_json
from score_rag.index.generation import generation_name, stamp_of
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.fresh import LaterItems, open_feedback, take_in
from score_rag.pipeline.lazy import lazy
from score_rag.pipeline.run import Run
from score_rag.pipeline.serving_index import SOURCE, index_folder
from score_rag.prompts import Prompt

if TYPE_CHECKING:
    from score_rag.context.evidence import Expert
    from score_rag.crm.interface import CollaborativeModel
    from score_rag.index.reader import BehaviourIndex

__all__ = ["ServingRun"]

_SHARED = (
    "_trained", "crm_items", "crm_vectors", "encoder", "scorer", "reranker", "predictor", "guard", "prompt", "provenance", "crm",
    "trained_experts", "attention",
)  # fmt: skip
"""Parts that training made: they stay when data and index change."""
_MANY = 2000
"""So many judgements at once are not taken in one by one."""


class ServingRun(Run):
    """A run that answers from the current events. `current` gives the one to ask now.

    Args:
        pipeline: The run's settings.
        folder: As for `Run`.
        predict_prompt: As for `Run`.

    Attributes:
        feedback: The log of what came in.
        source_items: Ids of the items that the source's own catalogue has.
        replaced: The source's own judgements that feedback stands in the place of.
    """

    def __init__(self, pipeline: Pipeline, folder: Callable[[str], Path], *, predict_prompt: Prompt | None = None) -> None:
        super().__init__(pipeline, folder, predict_prompt=predict_prompt)
        self.feedback: FeedbackLog = open_feedback(pipeline)
        self.source_items: frozenset[str] = frozenset()
        self.replaced = Replaced()
        self._taken = (0, 0)

    @lazy
    def _opened(self) -> tuple[BehaviourIndex | None, tuple[int, int, int] | None, str]:
        """(The serving index, the stamp of what was looked at, what to say where it is there and cannot be used)."""
        from score_rag.index.reader import BehaviourIndex

        place, settings = index_folder(self.pipeline), self.pipeline.retriever
        stamp = stamp_of(place)
        if stamp is None:
            return None, None, ""
        try:
            index = BehaviourIndex.open(place, self.encoder, store=settings.store, store_options=settings.store_options or None)
        except IndexMismatchError as error:
            return None, stamp, f"the serving index is not used, answers come from the run's own: {error.what}; index rebuild mends it"
        if not (place / generation_name(index.generation) / SOURCE).is_dir():
            return None, stamp, "the serving index is not used: it was made by an earlier version; index rebuild mends it"
        return index, stamp, ""

    @lazy
    def index(self) -> BehaviourIndex:
        """The serving index; without one, the run's own."""
        found: BehaviourIndex = self._opened[0] or Run.index.make(self)
        return found

    @property
    def generation(self) -> int:
        """Of the serving index; 0 is the run's own index."""
        return 0 if self._opened[0] is None else self._opened[0].generation

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of answers should know of the data behind them."""
        return (self._opened[2],) if self._opened[2] else ()

    @lazy
    def interactions(self) -> Interactions:
        """The data as it is now: what the index was made of, and all feedback."""
        index = self._opened[0]
        if index is None:
            source = Run.interactions.make(self)
        else:
            try:
                source = Interactions.read(index_folder(self.pipeline) / generation_name(index.generation) / SOURCE)
            except DataError:
                # A writer is two generations ahead: look again at what stands now.
                if not self._outdated:
                    raise
                for name in ("_opened", "index"):
                    self.__dict__.pop(name, None)
                return type(self).interactions.make(self)
        self.feedback.refresh()
        # Before what stands is read: what comes in between is taken in once more, which changes nothing.
        self._taken = self.feedback.position
        self.source_items = frozenset(source.items["item_id"])
        said = self.feedback.current()
        self.replaced = replaced(source, said, all_known=index is not None)
        return merged(source, said, all_known=index is not None)

    @lazy
    def trained_experts(self) -> dict[str, CollaborativeModel]:
        """As they were trained."""
        return Run.experts.make(self)

    @lazy
    def experts(self) -> dict[str, Expert]:  # type: ignore[override]
        """The same, for a catalogue that may have grown."""
        return {name: LaterItems(model) for name, model in self.trained_experts.items()}

    @lazy
    def recommender(self) -> LaterItems:
        """The conventional recommender, likewise."""
        return LaterItems(self.crm)

    @lazy
    def _trained(self) -> tuple[dict[str, int], frozenset[str]]:
        """(How many judgements of each user the run's own data has, the items of its recommender)."""
        counts = Run.interactions.make(self).events.filter(~pl.col("sampled")).group_by("user_id").len()
        return {str(user): number for user, number in counts.iter_rows()}, frozenset(self.crm_items)

    @lazy
    def crm_items(self) -> list[str]:
        """The items that the recommender was trained with; read without loading it."""
        return list(read_json(self.folder("crm") / "config.json")["items"])

    def has_news(self, user_id: str) -> bool:
        """Whether a user has other judgements than when the run was made."""
        return len(self.interactions.log.of(user_id)) != self._trained[0].get(user_id, 0)

    @property
    def trained_users(self) -> Mapping[str, int]:
        """Users of the run's own data, with how many judgements it has of each."""
        return self._trained[0]

    def is_later(self, item_id: str) -> bool:
        """Whether no model was trained on an item."""
        return item_id not in self._trained[1]

    @property
    def later_items(self) -> list[str]:
        """Items that no model was trained on."""
        known = self._trained[1]
        catalogue = self.interactions.catalogue
        # A copy: another thread may take in an item that is new.
        return [] if len(catalogue) == len(known) else [item for item in list(catalogue) if item not in known]

    @property
    def _outdated(self) -> bool:
        """Whether the index has another generation, or the log is another file, or has very much that is new."""
        if "interactions" not in self.__dict__:
            return False
        return not 0 <= self._news() <= _MANY or stamp_of(index_folder(self.pipeline)) != self._opened[1]

    def _news(self) -> int:
        """How many changes of the feedback are not taken in yet; -1 where all of it was read anew."""
        self.feedback.refresh()
        (epoch, read), (own, taken) = self.feedback.position, self._taken
        return read - taken if epoch == own else -1

    def current(self) -> Self:
        """This run with all that has come in, or the one that takes its place. Costs two looks at the file system where nothing is new."""
        if self._outdated:
            return self.renewed()
        self.catch_up()
        return self

    def renewed(self) -> Self:
        """The run over data and index as they are now; what was trained is shared, and nothing of it loaded again."""
        with self.lock:
            kept = {name: self.__dict__[name] for name in _SHARED if name in self.__dict__}
        fresh = type(self)(self.pipeline, self.folder, predict_prompt=self._predict_prompt)
        fresh.feedback = self.feedback
        fresh.__dict__.update(kept)
        return fresh

    def catch_up(self) -> None:
        """Take in what was written to the log since; it is known to every question that is looked up afterwards.

        Another log, or very much that is new, is left to `renewed`.
        """
        if "interactions" not in self.__dict__:
            return
        if not 0 < self._news() <= _MANY:
            return
        # Outside the lock: models may have to be loaded, and each part holds it while it is made.
        self.warm()
        with self.lock:
            self.feedback.refresh()
            if (news := self.feedback.since(self._taken)) is not None:
                changes, end = news
                take_in(self, changes)
                # Only now: whoever sees it goes on without waiting.
                self._taken = end

    def warm(self) -> None:
        """Make what a question needs, so that none waits for it."""
        _ = self.histories, self.interactions.train_log, self.writer, self.finder, self.guard, self.provenance
