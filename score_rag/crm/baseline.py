"""Non-learned baselines: like-rates and popularity. What anything that is trained has to beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from score_rag.crm.interface import CollaborativeModel, UserHistory
from score_rag.crm.rates import COUNTS
from score_rag.crm.settings import CrmTraining, LikeRateSettings, RecommenderSettings
from score_rag.data.choices import History
from score_rag.data.interactions import Interactions
from score_rag.progress import Report, silent

__all__ = ["LikeRate", "Popularity"]


class LikeRate(CollaborativeModel):
    """An item's like-rate in training, perhaps plus the user's; each smoothed by five judgements of the mean.

    It knows nobody like anybody: user vectors are zeros, so there are no neighbours. An unknown item or user has the mean.

    Args:
        settings: See `LikeRateSettings`; `earlier` is the user's rate over what is strictly earlier than the question.
        history: Read by nobody here; kept for the common shape.
        changes: Single settings.
    """

    kind: ClassVar[str] = "like-rate"
    name: ClassVar[str] = "like-rate"

    settings_model: ClassVar[type[LikeRateSettings]] = LikeRateSettings
    teaches: ClassVar[bool] = False
    settings: LikeRateSettings

    def __init__(self, settings: RecommenderSettings | None = None, *, history: History = "all", **changes: Any) -> None:
        super().__init__(settings, history=history, **changes)
        self._mean = 0.5
        self._items = np.zeros(0)
        self._users: dict[str, float] = {}

    def fit(
        self,
        interactions: Interactions,
        training: CrmTraining | None = None,
        *,
        seed: int = 0,
        checkpoint: Path | None = None,
        report: Report = silent,
    ) -> Self:
        self._know(list(interactions.catalogue))
        self.bind(interactions.log)
        train = interactions.learned
        self._mean = float(train["label"].mean() or 0.0)  # type: ignore[arg-type]  # a mean of int8 is a float
        rates = self._rates(train, "item_id")
        self._items = np.array([rates.get(item_id, self._mean) for item_id in self.item_ids])
        self._users = self._rates(train, "user_id") if self.settings.user == "train" else {}
        return self

    def _rates(self, train: pl.DataFrame, by: str) -> dict[str, float]:
        counted = train.group_by(by, maintain_order=True).agg(liked=pl.col("label").cast(pl.Int64).sum(), judged=pl.len())
        return {key: self._smoothed(liked, judged) for key, liked, judged in counted.iter_rows()}

    def _smoothed(self, liked: int, judged: int) -> float:
        return (liked + COUNTS * self._mean) / (judged + COUNTS)

    def _vectors(self, asked: Sequence[UserHistory]) -> np.ndarray:
        return np.zeros((len(asked), 1), dtype=np.float32)

    def _scores(self, asked: Sequence[UserHistory], places: Sequence[np.ndarray]) -> list[np.ndarray]:
        out = []
        for one, place in zip(asked, places, strict=True):
            user = 0.0
            if self.settings.user == "train":
                user = self._users.get(one.user_id or "", self._mean)
            elif self.settings.user == "earlier":
                user = self._smoothed(sum(event.liked for event in one.history), len(one.history))
            out.append((self._items[place] + user).astype(np.float32))
        return out

    def _tensors(self) -> Mapping[str, np.ndarray]:
        return {"items": self._items}

    def _extra(self) -> dict[str, Any]:
        return {"mean": self._mean, "users": self._users}

    def _restore(self, tensors: Mapping[str, np.ndarray], extra: Mapping[str, Any]) -> None:
        self._items, self._mean, self._users = tensors["items"], extra["mean"], extra["users"]


class Popularity(CollaborativeModel):
    """How often an item was judged (or only liked) in training; the same for everybody, so there are no neighbours.

    Args:
        history: `all` judgements count, or `positives` only.
    """

    kind: ClassVar[str] = "popularity"
    name: ClassVar[str] = "popularity"
    teaches: ClassVar[bool] = False

    def __init__(self, settings: RecommenderSettings | None = None, *, history: History = "all", **changes: Any) -> None:
        super().__init__(settings, history=history, **changes)
        self._items = np.zeros(0, dtype=np.float32)

    def fit(
        self,
        interactions: Interactions,
        training: CrmTraining | None = None,
        *,
        seed: int = 0,
        checkpoint: Path | None = None,
        report: Report = silent,
    ) -> Self:
        self._know(list(interactions.catalogue))
        self.bind(interactions.log)
        rows = ~pl.col("sampled") & ((pl.col("label") == 1) | (self.history == "all"))
        counted = dict(interactions.learned.filter(rows).group_by("item_id").len().iter_rows())
        self._items = np.array([counted.get(item_id, 0) for item_id in self.item_ids], dtype=np.float32)
        return self

    def _vectors(self, asked: Sequence[UserHistory]) -> np.ndarray:
        return np.zeros((len(asked), 1), dtype=np.float32)

    def _scores(self, asked: Sequence[UserHistory], places: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [self._items[place] for place in places]

    def _tensors(self) -> Mapping[str, np.ndarray]:
        return {"items": self._items}

    def _restore(self, tensors: Mapping[str, np.ndarray], extra: Mapping[str, Any]) -> None:
        self._items = tensors["items"]
