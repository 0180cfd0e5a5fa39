"""A recommender on disk and back: `config.json`, its settings and items, and `model.safetensors`, what it learned."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from score_rag.crm.settings import RecommenderSettings
from score_rag.data.choices import History
from score_rag.errors import ModelError, RunStage
from score_rag.files import read_json, share, write_json
from score_rag.settings import ReadBy

__all__ = ["SavedModel"]


class SavedModel(ABC):
    """Settings, items, and what was learned of them.

    Args:
        settings: Its own settings, whole.
        history: `all` judgements are read, or `positives` only.
        changes: Single settings, in place of those given.

    Attributes:
        kind: The word for it in pipeline files.
        name: As printed.
        settings_model: Its settings, with their defaults.

    Raises:
        InputError: Unknown or wrong settings.
    """

    kind: ClassVar[str] = ""
    name: ClassVar[str] = ""
    settings_model: ClassVar[type[RecommenderSettings]] = RecommenderSettings

    def __init__(self, settings: RecommenderSettings | None = None, *, history: History = "all", **changes: Any) -> None:
        self.history: History = history
        self.settings: Any = self.settings_model.of(**changes) if settings is None else settings.changed(**changes)
        self.item_ids: list[str] = []
        self.metrics: dict[str, Any] = {}
        self._place: dict[str, int] = {}

    @abstractmethod
    def _tensors(self) -> Mapping[str, np.ndarray]:
        """What was learned, for the disk."""

    @abstractmethod
    def _restore(self, tensors: Mapping[str, np.ndarray], extra: Mapping[str, Any]) -> None:
        """Take back what `_tensors` and `_extra` gave; `item_ids` is there already."""

    def _extra(self) -> dict[str, Any]:
        """What was learned and is no tensor."""
        return {}

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


def _is_place(mark: Any) -> bool:
    return isinstance(mark, ReadBy) and mark.kind == "location"
