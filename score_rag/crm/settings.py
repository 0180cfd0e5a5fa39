"""Settings of the conventional recommenders: each model's own, their training, and the section of a pipeline file that holds both."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from score_rag.errors import InputError
from score_rag.settings import OpenSettings, Settings, location, misfits, serving

__all__ = [
    "ChooseBy", "CrmSettings", "CrmTraining", "DINSettings", "Device", "EASESettings", "Expert", "FileSettings", "ItemKNNSettings",
    "LightGCNSettings", "LikeRateSettings", "Loss", "MFSettings", "RecommenderSettings", "SASRecSettings",
]  # fmt: skip

Loss = Literal["bce", "softmax"]
ChooseBy = Literal["auc", "ndcg"]
Device = Literal["auto", "cpu", "cuda"]
Expert = Literal["sasrec", "lightgcn", "din", "mf", "item-knn", "ease"]
"""Recommenders that judge: what they expect of an event can be told."""


class RecommenderSettings(Settings):
    """What a recommender's own settings are made of."""

    def files(self) -> list[Path]:
        """Files from outside that `fit` reads."""
        return []


class _Dim(RecommenderSettings):
    dim: int = Field(48, ge=2, description="width of item and user vectors")


class _Layers(RecommenderSettings):
    layers: int = Field(2, ge=1, description="sasrec: attention blocks; lightgcn: steps over the graph")


class _Heads(RecommenderSettings):
    heads: int = Field(2, ge=1, description="sasrec: attention heads, a divisor of dim; din: ways of looking at a history")


class _Dropout(RecommenderSettings):
    dropout: float = Field(0.2, ge=0, lt=1, description="while training; not lightgcn")


class _Length(RecommenderSettings):
    max_length: int = Field(50, ge=2, description="sasrec, din: most recent judgements read")


class _Content(RecommenderSettings):
    content: bool = Field(True, description="items are known by genres and years too, beside their ids")


class _Loss(RecommenderSettings):
    loss: Loss = Field("bce", description="bce: will they like it | softmax: which item comes next (ranks better, no judgement; not din)")


class SASRecSettings(_Loss, _Content, _Length, _Dropout, _Heads, _Layers, _Dim):
    """Of SASRec."""

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.dim % self.heads:
            raise misfits({"heads": f"the heads do not divide the width: {self.heads} heads, dim {self.dim}"})
        return self


class LightGCNSettings(_Loss, _Content, _Layers, _Dim):
    """Of LightGCN."""


class DINSettings(_Content, _Length, _Dropout, _Heads, _Dim):
    """Of DIN."""

    dim: int = Field(16, ge=2, description="width of item and user vectors")
    dropout: float = Field(0.3, ge=0, lt=1, description="while training; not lightgcn")
    max_length: int = Field(100, ge=2, description="sasrec, din: most recent judgements read")


class MFSettings(_Loss, _Content, _Dropout, _Dim):
    """Of MF."""


class FileSettings(RecommenderSettings):
    """Of vectors that another library made."""

    user_vectors: Annotated[str, location()] = Field(description="file of user vectors")
    item_vectors: Annotated[str, location()] = Field(description="file of item vectors")

    def files(self) -> list[Path]:
        from score_rag.crm.file import vector_files

        return [file for name in (self.user_vectors, self.item_vectors) for file in vector_files(name)]


class ItemKNNSettings(RecommenderSettings):
    """Of item-kNN."""

    nearest: int = Field(100, ge=1, description="item-knn: how many items each item listens to")
    shrink: float = Field(20.0, ge=0, description="item-knn: added to the product of lengths; few common users say little")


class EASESettings(RecommenderSettings):
    """Of EASE."""

    penalty: float = Field(200.0, gt=0, description="ease: lambda of the ridge regression")


class LikeRateSettings(RecommenderSettings):
    """Of like-rates."""

    user: Literal["none", "train", "earlier"] = Field("none", description="whose like-rate is added: none, in training, or so far")


class CrmTraining(Settings):
    """How any learned recommender is trained."""

    negatives: int = Field(0, ge=0, description="bce: items sampled for each judgement, as weaker dislikes (ranks better, judges worse)")
    negative_weight: float = Field(0.2, ge=0, description="bce: weight of their loss")
    epochs: int = Field(40, ge=1, description="at most; the best epoch on valid is kept")
    patience: int | None = Field(None, ge=1, description="epochs without gain before stopping; null is the model's own: 8, din 4")
    choose_by: ChooseBy = Field("auc", description="auc | ndcg (full ranking): what the best epoch is best in, on valid")
    batch_size: int | None = Field(
        None,
        ge=1,
        description="windows of users (sasrec) or judgements a step; null is the model's own: 64 windows, 512 to 2,048 judgements "
        "(lightgcn: 1/512 of all where that is more)",
    )
    learning_rate: float | None = Field(None, gt=0, description="of AdamW; null is the model's own: 0.002 to 0.01")
    weight_decay: float = Field(0.01, ge=0, description="of matrices")
    weight_average: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="share that a step keeps of the weights' moving average, the result; null is the model's own: 0 (no average), din 0.98",
    )
    device: Annotated[Device, serving()] = Field("auto", description="auto (a GPU where there is one) | cpu | cuda")


def _known_model(name: str) -> str:
    from score_rag.crm.registry import RECOMMENDERS, teachers

    try:
        teaches = RECOMMENDERS[name].teaches
    except InputError as error:
        raise ValueError(f"{error.what}; {error.hint}") from error
    if not teaches:
        raise ValueError(f"the recommender {name!r} knows nobody like anybody, so it cannot teach; one of: {', '.join(teachers())}")
    return name


class _Model(OpenSettings):
    model: Annotated[str, AfterValidator(_known_model)] = Field(
        "lightgcn",
        description="sasrec | lightgcn | din | mf | file (vectors of another library) | item-knn | ease, or of an installed package",
    )
    user_vectors: Annotated[str | None, location()] = Field(
        None, description="file: ids with vectors, .parquet (two columns) or .npy with the ids beside it in .json or .txt"
    )
    item_vectors: Annotated[str | None, location()] = Field(None, description="file: likewise")


class CrmSettings(CrmTraining, _Content, _Length, _Dropout, _Heads, _Layers, _Dim, _Loss, _Model):
    """The conventional recommender, CAR's teacher: which one, its settings (a model reads those that it has), and its training."""

    neighbours: int = Field(5, ge=1, description="Kc: nearest users of each, which the retriever learns")
    experts: tuple[Expert, ...] = Field(
        ("lightgcn", "din"),
        description="recommenders whose expectations prompts may show (also fitted on each earlier time block); [] fits none",
    )
    expectations: int | None = Field(
        1_000_000,
        ge=20,
        description="training events of which the predictor may learn what experts expected; of more, so many are drawn; null takes all",
    )

    @classmethod
    def own_model(cls, values: Mapping[str, Any]) -> type[Settings] | None:
        from score_rag.crm.registry import RECOMMENDERS

        try:
            return RECOMMENDERS[str(values.get("model", cls.model_fields["model"].default))].settings
        except InputError:
            return None

    def own(self) -> RecommenderSettings:
        made = super().own()
        if not isinstance(made, RecommenderSettings):
            raise TypeError(f"settings of a recommender derive from RecommenderSettings, found {type(made).__name__}")
        return made

    @model_validator(mode="after")
    def _has_the_loss(self) -> Self:
        own = self.own_model({"model": self.model})
        if own is not None and "loss" not in own.model_fields and self.loss != type(self).model_fields["loss"].default:
            raise misfits({"loss": f"the model {self.model} knows no loss {self.loss}, only bce or none; say loss: bce"})
        return self

    def training(self) -> dict[str, Any]:
        """What `fit` of any learned model takes of it, as keywords."""
        return {name: getattr(self, name) for name in CrmTraining.model_fields}
