"""Every recommender by name, loaded when it is asked for."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from score_rag.crm.recommender import Recommender
from score_rag.errors import InputError, ModelError, did_you_mean
from score_rag.files import read_json

__all__ = ["MODELS", "make_model", "model_class", "read_model"]

MODELS = {
    "sasrec": "sasrec:SASRec",
    "lightgcn": "lightgcn:LightGCN",
    "din": "din:DIN",
    "mf": "mf:MF",
    "file": "file:FileVectors",
    "like-rate": "averages:LikeRate",
    "popularity": "averages:Popularity",
    "item-knn": "closed:ItemKNN",
    "ease": "closed:EASE",
}

# What a pipeline's section about recommenders says besides: of other kinds, of training, of what is done with the vectors.
KNOWN = {
    "user_vectors", "item_vectors", "loss", "dim", "layers", "heads", "dropout", "max_length", "content", "negatives", "negative_weight",
    "epochs", "patience", "choose_by", "batch_size", "learning_rate", "weight_decay", "device", "neighbours",
}  # fmt: skip


def model_class(kind: str) -> type[Recommender]:
    """The class of a kind of recommender.

    Raises:
        InputError: There is no such kind.
    """
    if kind not in MODELS:
        raise InputError(f"there is no recommender {kind!r}", hint=did_you_mean(kind, MODELS))
    module, name = MODELS[kind].split(":")
    found: type[Recommender] = getattr(import_module(f"score_rag.crm.{module}"), name)
    return found


def make_model(kind: str, **settings: Any) -> Recommender:
    """A recommender of a kind, not fitted; of the settings it takes those that it has (`heads` means nothing to MF).

    Raises:
        InputError: There is no such kind, or a setting that no recommender has.
    """
    made = model_class(kind)
    own = made().settings.keys() | {"history"}
    strangers = [name for name in settings if name not in own | KNOWN]
    if strangers:
        raise InputError(f"no recommender has a setting {strangers[0]!r}", where=kind, hint=did_you_mean(strangers[0], own))
    return made(**{name: value for name, value in settings.items() if name in own})


def read_model(folder: Path | str) -> Recommender:
    """Whatever recommender `save_pretrained` wrote into a folder.

    Raises:
        ModelError: There is none.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise ModelError("there is no trained recommender here", where=folder, hint="score-rag run PIPELINE --until crm")
    return model_class(read_json(folder / "config.json").get("model", "sasrec")).from_pretrained(folder)
