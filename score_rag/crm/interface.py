"""What every conventional recommender can do, learned or counted: vectors of users, scores of items, the best of them, on disk and back.

A question is somebody's history (events strictly before a moment, oldest first), perhaps with a name to it, and items. Histories come from
the log that a recommender was fitted with or bound to, so that nothing at or after the asked moment is ever read; somebody whom the log
does not know is asked about by a history alone. What was learned (item vectors, rates, a training user's own vector) knows the training
events, all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from score_rag.crm.settings import CrmTraining, RecommenderSettings
from score_rag.data.choices import History
from score_rag.data.interactions import Interactions
from score_rag.data.log import Event, UserLog
from score_rag.errors import InputError, ModelError, RunStage, did_you_mean
from score_rag.files import read_json, share, write_json
from score_rag.progress import Report, silent
from score_rag.settings import ReadBy

__all__ = ["CollaborativeModel", "UserHistory", "VectorModel"]


_USERS = 8_192
"""Users whose vectors are asked for at a time: half a million judgements of fifty each, .1 GB as objects."""


class UserHistory(NamedTuple):
    """Who asks: a history (oldest first), whose it is (None: somebody unknown), and when (None: after everything)."""

    history: Sequence[Event]
    user_id: str | None = None
    as_of: int | None = None


class CollaborativeModel(ABC):
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

    kind: ClassVar[str] = ""
    name: ClassVar[str] = ""
    settings_model: ClassVar[type[RecommenderSettings]] = RecommenderSettings
    teaches: ClassVar[bool] = True

    def __init__(self, settings: RecommenderSettings | None = None, *, history: History = "all", **changes: Any) -> None:
        self.history: History = history
        self.settings: Any = self.settings_model.of(**changes) if settings is None else settings.changed(**changes)
        self.item_ids: list[str] = []
        self.metrics: dict[str, Any] = {}
        self._place: dict[str, int] = {}
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

    @abstractmethod
    def _tensors(self) -> Mapping[str, np.ndarray]:
        """What was learned, for the disk."""

    @abstractmethod
    def _restore(self, tensors: Mapping[str, np.ndarray], extra: Mapping[str, Any]) -> None:
        """Take back what `_tensors` and `_extra` gave; `item_ids` is there already."""

    def _extra(self) -> dict[str, Any]:
        """What was learned and is no tensor."""
        return {}

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

    def save_pretrained(self, folder: Path | str) -> None:
        """Write `config.json` and `model.safetensors`."""
        from safetensors.numpy import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        # Where files are is no part of what was learned.
        places = {name for name, field in type(self.settings).model_fields.items() if any(_is_place(mark) for mark in field.metadata)}
        settings = {**self.settings.model_dump(mode="json", exclude=places), "history": self.history}
        config = {"model": self.kind, "settings": settings, "items": self.item_ids, "metrics": self.metrics, "extra": self._extra()}
        write_json(folder / "config.json", config)
        save_file({name: np.ascontiguousarray(tensor) for name, tensor in self._tensors().items()}, str(folder / "model.safetensors"))
        share(folder / "model.safetensors")

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> Self:
        """Read what `save_pretrained` wrote; `bind` a log to ask about its users.

        Raises:
            ModelError: The folder has no model, or another kind of model.
        """
        from safetensors.numpy import load_file

        folder = Path(folder)
        if not (folder / "model.safetensors").is_file():
            raise ModelError("there is no trained recommender here", where=folder, remedy=RunStage("crm"))
        config = read_json(folder / "config.json")
        if config.get("model") != cls.kind:
            raise ModelError("this is another kind of recommender", where=folder, expected=cls.kind, found=config.get("model"))
        model = cls._restored(**config["settings"])
        model._know(config["items"])
        model.metrics = config["metrics"]
        model._restore(load_file(str(folder / "model.safetensors")), config["extra"])
        return model

    @classmethod
    def _restored(cls, **settings: Any) -> Self:
        """One with the settings that `save_pretrained` wrote."""
        return cls(**settings)

    def _know(self, item_ids: list[str]) -> None:
        self.item_ids = item_ids
        self._place = {item_id: place for place, item_id in enumerate(item_ids)}

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


def _is_place(mark: Any) -> bool:
    return isinstance(mark, ReadBy) and mark.kind == "location"


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
