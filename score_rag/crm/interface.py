"""What every conventional recommender can do, learned or counted: vectors of users, scores of items, the best of them, on disk and back.

A question is somebody's history (events strictly before a moment, oldest first), perhaps with a name to it, and items. Histories come from
the log that a recommender was fitted with or bound to, so that nothing at or after the asked moment is ever read; somebody whom the log
does not know is asked about by a history alone. What was learned (item vectors, rates, a training user's own vector) knows the training
events, all of them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from score_rag.crm.saved import SavedModel
from score_rag.crm.settings import CrmTraining, RecommenderSettings
from score_rag.data.choices import History
from score_rag.data.interactions import Interactions
from score_rag.data.log import Event, UserLog
from score_rag.errors import InputError, did_you_mean
from score_rag.progress import Report, silent

__all__ = ["CollaborativeModel", "UserHistory", "VectorModel"]


_USERS = 8_192
"""Users whose vectors are asked for at a time: half a million judgements of fifty each, .1 GB as objects."""


class UserHistory(NamedTuple):
    """Who asks: a history (oldest first), whose it is (None: somebody unknown), and when (None: after everything)."""

    history: Sequence[Event]
    user_id: str | None = None
    as_of: int | None = None


class CollaborativeModel(SavedModel):
    """The interface. A model adds what it learns (`fit`) and how it answers (`_vectors`, `_scores`).

    Args:
        settings: Its own settings, whole.
        history: `all` judgements are read, or `positives` only.
        changes: Single settings, in place of those given: `LightGCN(dim=32)`.

    Attributes:
        kind: The word for it in pipeline files.
        name: As printed.
        settings_model: Its settings, with their defaults.
        teaches: Whether it has vectors of users.

    Raises:
        InputError: Unknown or wrong settings.
    """

    teaches: ClassVar[bool] = True

    def __init__(self, settings: RecommenderSettings | None = None, *, history: History = "all", **changes: Any) -> None:
        super().__init__(settings, history=history, **changes)
        self._log: UserLog | None = None

    @abstractmethod
    def fit(
        self,
        interactions: Interactions,
        training: CrmTraining | None = None,
        *,
        seed: int = 0,
        checkpoint: Path | None = None,
        report: Report = silent,
    ) -> Self:
        """Learn from training events (validation events choose), and bind to the log of all events.

        Args:
            interactions: The data.
            training: How a learned model is trained; others have no use for it, nor for `seed` and `checkpoint`.
            seed: Of all random sampling.
            checkpoint: Folder for the state of a training that may be killed.
            report: Told how far the work is.
        """

    @abstractmethod
    def _vectors(self, asked: Sequence[UserHistory]) -> np.ndarray:
        """float32 [n, dim]; a row of zeros is somebody of whom nothing is known."""

    @abstractmethod
    def _scores(self, asked: Sequence[UserHistory], places: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Scores of items, given by their places in `item_ids`, for each who asks."""

    def bind(self, log: UserLog) -> Self:
        """Answer from the events of this log from now on."""
        self._log = log
        return self

    def user_vectors(self, user_ids: Sequence[str], *, as_of: int | None = None) -> np.ndarray:
        """float32 [n, dim], from events strictly before `as_of`; all zeros where nothing is known of a user."""
        # By blocks: histories are objects, of all users at once too many.
        parts = [
            self._vectors([self._asked(user_id, as_of) for user_id in user_ids[start : start + _USERS]])
            for start in range(0, max(len(user_ids), 1), _USERS)
        ]
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    def history_vectors(self, histories: Sequence[Sequence[Event]]) -> np.ndarray:
        """float32 [n, dim] of people outside the data, one for each history (oldest first).

        Raises:
            InputError: An item that is not in the catalogue.
        """
        return self._vectors([self._stranger(history) for history in histories])

    def score(self, user_id: str, item_ids: Sequence[str], as_of: int | None = None) -> np.ndarray:
        """Scores of items for a user, higher is better, float32 [len(item_ids)], from events strictly before `as_of`.

        Somebody whom the log does not know is scored like somebody without a history.

        Raises:
            InputError: An item that is not in the catalogue, or no log to read from.
        """
        return self._scores([self._asked(user_id, as_of)], [self.places_of(item_ids)])[0]

    def score_history(self, history: Sequence[Event], item_ids: Sequence[str]) -> np.ndarray:
        """`score` for somebody outside the data.

        Raises:
            InputError: An item that is not in the catalogue.
        """
        return self._scores([self._stranger(history)], [self.places_of(item_ids)])[0]

    def score_events(self, events: Sequence[Event]) -> np.ndarray:
        """float32 [n]: each event's item for its user, from what the log calls earlier; the labels are not read."""
        log = self._bound()
        asked = [UserHistory(log.earlier(event), event.user_id, event.timestamp) for event in events]
        places = self.places_of([event.item_id for event in events])
        rows = self._scores(asked, [places[n : n + 1] for n in range(len(events))])
        return np.concatenate(rows) if rows else np.zeros(0, dtype=np.float32)

    def asked_vectors(self, asked: Sequence[UserHistory]) -> np.ndarray:
        """float32 [n, dim] of those who ask; the histories are taken as they are."""
        return self._vectors(asked)

    def score_places(self, asked: Sequence[UserHistory], places: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Scores of items, given by their places in `item_ids`, for each who asks; the histories are taken as they are."""
        return self._scores(asked, places)

    def score_catalogue(self, user_ids: Sequence[str], *, as_of: int | None = None) -> np.ndarray:
        """float32 [n, items]: everything, for full ranking."""
        every = np.arange(len(self.item_ids))
        return np.stack(self._scores([self._asked(user_id, as_of) for user_id in user_ids], [every] * len(user_ids)))

    def recommend(self, user_id: str, k: int, *, exclude: Collection[str] = (), as_of: int | None = None) -> list[tuple[str, float]]:
        """The `k` items with the highest scores, best first, without those in `exclude`; ties in the catalogue's order."""
        return self._best(self._asked(user_id, as_of), k, exclude)

    def recommend_history(self, history: Sequence[Event], k: int, *, exclude: Collection[str] = ()) -> list[tuple[str, float]]:
        """`recommend` for somebody outside the data.

        Raises:
            InputError: An item that is not in the catalogue.
        """
        return self._best(self._stranger(history), k, exclude)

    def _bound(self) -> UserLog:
        if self._log is None:
            raise InputError("this recommender has no log to read histories from", hint="model.bind(interactions.log)")
        return self._log

    def _stranger(self, history: Sequence[Event]) -> UserHistory:
        self.places_of([event.item_id for event in history])
        return UserHistory(history)

    def _asked(self, user_id: str, as_of: int | None) -> UserHistory:
        return UserHistory(self._bound().before(user_id, as_of), user_id, as_of)

    def places_of(self, item_ids: Sequence[str]) -> np.ndarray:
        """int64 [n]: places of items in `item_ids`.

        Raises:
            InputError: An item that is not in the catalogue.
        """
        try:
            return np.array([self._place[item_id] for item_id in item_ids], dtype=np.int64)
        except KeyError:
            strangers = list(dict.fromkeys(item_id for item_id in item_ids if item_id not in self._place))
            hint = did_you_mean(strangers[0], self.item_ids)
            raise InputError("the recommender does not know these items", found=", ".join(strangers[:5]), hint=hint) from None

    def _best(self, asked: UserHistory, k: int, exclude: Collection[str]) -> list[tuple[str, float]]:
        (scores,) = self._scores([asked], [np.arange(len(self.item_ids))])
        order = np.argsort(-scores, kind="stable")
        return [(self.item_ids[place], float(scores[place])) for place in order if self.item_ids[place] not in exclude][:k]


class VectorModel(CollaborativeModel):
    """A recommender whose score is an inner product: user's vector · item's vector + item's bias + user's offset.

    The offset is the same for all items: it orders users among each other, never one user's items.
    """

    @abstractmethod
    def item_vectors(self) -> np.ndarray:
        """float32 [items, dim], in the order of `item_ids`."""

    def item_biases(self) -> np.ndarray:
        """float32 [items]."""
        return np.zeros(len(self.item_ids), dtype=np.float32)

    def _offsets(self, asked: Sequence[UserHistory], vectors: np.ndarray) -> np.ndarray:
        """float32 [n]: what is added to all scores of users, whose `vectors` are given."""
        return np.zeros(len(asked), dtype=np.float32)

    def _scores(self, asked: Sequence[UserHistory], places: Sequence[np.ndarray]) -> list[np.ndarray]:
        users, items, biases = self._vectors(asked), self.item_vectors(), self.item_biases()
        offsets = self._offsets(asked, users)
        return [items[row] @ user + biases[row] + offset for user, offset, row in zip(users, offsets, places, strict=True)]
