"""Every recommender by name, loaded when it is asked for.

Another package adds one by `register`, or by an entry point of the group `score_rag.recommenders` that names a `CollaborativeModel`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from score_rag.crm import settings as of
from score_rag.errors import InputError, ModelError, RunStage, did_you_mean
from score_rag.files import check_sealed, read_json
from score_rag.registry import Registry, load_object

if TYPE_CHECKING:
    from score_rag.crm.interface import CollaborativeModel

__all__ = ["RECOMMENDERS", "Kind", "make_model", "model_class", "read_model", "register", "settings_of", "teachers"]


@dataclass(frozen=True)
class Kind:
    """A kind of recommender.

    Attributes:
        made: Its class, or where that is: `package.module:Class`.
        settings: The model of its settings.
        teaches: Whether it has vectors of users, whose neighbours the retriever learns.
    """

    made: type[CollaborativeModel] | str
    settings: type[of.RecommenderSettings]
    teaches: bool = True


_SHIPPED = {
    "sasrec": Kind("score_rag.crm.sasrec:SASRec", of.SASRecSettings),
    "lightgcn": Kind("score_rag.crm.lightgcn:LightGCN", of.LightGCNSettings),
    "din": Kind("score_rag.crm.din:DIN", of.DINSettings),
    "mf": Kind("score_rag.crm.mf:MF", of.MFSettings),
    "file": Kind("score_rag.crm.file:FileVectors", of.FileSettings),
    "like-rate": Kind("score_rag.crm.baseline:LikeRate", of.LikeRateSettings, teaches=False),
    "popularity": Kind("score_rag.crm.baseline:Popularity", of.RecommenderSettings, teaches=False),
    "item-knn": Kind("score_rag.crm.item_item:ItemKNN", of.ItemKNNSettings),
    "ease": Kind("score_rag.crm.item_item:EASE", of.EASESettings),
}


def _is_recommender(name: str, part: Any) -> Kind:
    from score_rag.crm.interface import CollaborativeModel

    if not (isinstance(part, type) and issubclass(part, CollaborativeModel)):
        raise InputError(f"the recommender {name!r} is none", expected="a subclass of CollaborativeModel", found=repr(part))
    if part.kind != name:
        raise InputError(f"the recommender {name!r} calls itself otherwise", expected=f"kind = {name!r}", found=f"kind = {part.kind!r}")
    return Kind(part, part.settings_model, part.teaches)


RECOMMENDERS: Registry[Kind] = Registry("recommender", "score_rag.recommenders", _SHIPPED, check=_is_recommender)


def register(model: type[CollaborativeModel]) -> type[CollaborativeModel]:
    """Add a recommender under its `kind`, the word of `crm.model`; also a decorator.

    Raises:
        InputError: The name is taken by another.
    """
    RECOMMENDERS.register(model.kind, model)
    return model


def teachers() -> list[str]:
    """Names of all recommenders that `crm.model` may say."""
    return [name for name in RECOMMENDERS.names() if RECOMMENDERS[name].teaches]


def model_class(kind: str) -> type[CollaborativeModel]:
    """The class of a kind of recommender.

    Raises:
        InputError: There is no such kind.
    """
    made = RECOMMENDERS[kind].made
    found: type[CollaborativeModel] = load_object(made) if isinstance(made, str) else made
    return found


def make_model(kind: str, **settings: Any) -> CollaborativeModel:
    """A recommender of a kind, not fitted.

    Raises:
        InputError: There is no such kind, it has no such setting, or a value is wrong.
    """
    own = settings_of(kind)
    stranger = next((name for name in settings if name not in own), None)
    if stranger is not None:
        raise InputError(f"the recommender {kind!r} has no setting {stranger!r}", hint=did_you_mean(stranger, own))
    return model_class(kind)(**settings)


def settings_of(kind: str) -> set[str]:
    """Names of the settings that a kind of recommender has.

    Raises:
        InputError: There is no such kind.
    """
    return {*RECOMMENDERS[kind].settings.model_fields, "history"}


def read_model(folder: Path | str) -> CollaborativeModel:
    """Whatever recommender `save_pretrained` wrote into a folder.

    Raises:
        ModelError: There is none.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise ModelError("there is no trained recommender here", where=folder, remedy=RunStage("crm"))
    check_sealed(folder)
    return model_class(read_json(folder / "config.json").get("model", "sasrec")).from_pretrained(folder)
