"""Every recommender by name, loaded when it is asked for."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from score_rag.crm.interface import CollaborativeModel
from score_rag.errors import InputError, ModelError, RunStage, did_you_mean
from score_rag.files import read_json

__all__ = ["MODELS", "make_model", "model_class", "read_model", "settings_of"]

MODELS = {
    "sasrec": "sasrec:SASRec",
    "lightgcn": "lightgcn:LightGCN",
    "din": "din:DIN",
    "mf": "mf:MF",
    "file": "file:FileVectors",
    "like-rate": "baseline:LikeRate",
    "popularity": "baseline:Popularity",
    "item-knn": "item_item:ItemKNN",
    "ease": "item_item:EASE",
}


def model_class(kind: str) -> type[CollaborativeModel]:
    """The class of a kind of recommender.

    Raises:
        InputError: There is no such kind.
    """
    if kind not in MODELS:
        raise InputError(f"there is no recommender {kind!r}", hint=did_you_mean(kind, MODELS))
    module, name = MODELS[kind].split(":")
    found: type[CollaborativeModel] = getattr(import_module(f"score_rag.crm.{module}"), name)
    return found


def make_model(kind: str, **settings: Any) -> CollaborativeModel:
    """A recommender of a kind, not fitted.

    Raises:
        InputError: There is no such kind, or it has no such setting.
    """
    made = model_class(kind)
    own = settings_of(kind)
    stranger = next((name for name in settings if name not in own), None)
    if stranger is not None:
        raise InputError(f"the recommender {kind!r} has no setting {stranger!r}", hint=did_you_mean(stranger, own))
    return made(**settings)


def settings_of(kind: str) -> set[str]:
    """Names of the settings that a kind of recommender has.

    Raises:
        InputError: There is no such kind.
    """
    return {*model_class(kind)().settings, "history"}


def read_model(folder: Path | str) -> CollaborativeModel:
    """Whatever recommender `save_pretrained` wrote into a folder.

    Raises:
        ModelError: There is none.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise ModelError("there is no trained recommender here", where=folder, remedy=RunStage("crm"))
    return model_class(read_json(folder / "config.json").get("model", "sasrec")).from_pretrained(folder)
