"""Pipeline files: a YAML file that says everything about an experiment, checked as a whole before anything runs.

Unknown keys and wrong values are refused, all of them at once. A pipeline does not change once it is read.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from score_rag.context.finder import NeighbourChoice
from score_rag.errors import ConfigError, InputError, did_you_mean
from score_rag.files import shipped_folder
from score_rag.predictor.training import AdapterTraining, BaseTraining

__all__ = ["Pipeline", "load_pipeline", "pipeline_folders", "pipeline_names"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Months(_Section):
    """Calendar months (UTC) of each split, first and last, counted from `start`."""

    start: str = Field("2000-04", pattern=r"^\d{4}-(0[1-9]|1[0-2])$")
    train: tuple[int, int] = (14, 23)
    valid: tuple[int, int] = (24, 28)
    test: tuple[int, int] = (29, 33)


class Data(_Section):
    """Where events come from and how they are split."""

    source: Literal["sample", "movielens", "amazon", "recbole", "table"] = "sample"
    path: str | None = None
    interactions: str | None = None
    items: str | None = None
    columns: dict[str, str] = {}
    item_columns: dict[str, str] = {}
    separator: str | None = Field(None, min_length=1)
    list_separator: str = Field("|", min_length=1)
    encoding: str = "utf-8"
    threshold: float = 4.0
    k_core: int | None = Field(None, ge=1)
    max_users: int | None = Field(None, ge=1)
    split: Literal["quantiles", "months", "leave-last-out", "column"] = "quantiles"
    train: float = Field(0.8, gt=0, lt=1)
    valid: float = Field(0.1, gt=0, lt=1)
    months: Months = Months()
    background: bool = False
    history: Literal["all", "positives"] = "all"
    ties: Literal["strict", "file-order"] = "strict"
    negatives: int = Field(0, ge=0)
    negative_sampling: Literal["uniform", "popularity"] = "uniform"

    @model_validator(mode="after")
    def _fits_the_source(self) -> Data:
        usual = {"list_separator": "|", "encoding": "utf-8"}
        own = ("columns", "item_columns", "separator", *usual)
        strangers = [name for name in own if getattr(self, name) not in (usual.get(name), None, {}) and self.source != "table"]
        if strangers:
            raise ValueError(f"{', '.join(strangers)}: for source table alone, this is {self.source}")
        named = [name for name in ("interactions", "items") if getattr(self, name) and self.source in ("sample", "movielens")]
        if named:
            raise ValueError(f"{', '.join(named)}: the source {self.source} has files of its own names")
        if self.source == "sample" and self.path:
            raise ValueError("path: the source sample has no files; for your own, say source: table (or movielens, amazon, recbole)")
        return self

    def reading(self) -> dict[str, Any]:
        """What `score_rag.data.read_source` takes of it."""
        own = ("columns", "item_columns", "separator", "list_separator", "encoding") if self.source == "table" else ()
        return {name: getattr(self, name) for name in ("interactions", "items", *own)}

    def preparing(self) -> dict[str, Any]:
        """What `score_rag.data.prepare` takes of it."""
        names = ("threshold", "k_core", "max_users", "split", "train", "valid", "ties", "negatives", "negative_sampling", "background")
        months = {name: getattr(self.months, name) for name in ("train", "valid", "test")}
        return {**{name: getattr(self, name) for name in names}, "months": months, "start": self.months.start}


class Crm(_Section):
    """The conventional recommender: CAR's teacher."""

    model: Literal["sasrec", "lightgcn", "din", "mf", "file"] = "lightgcn"
    user_vectors: str | None = None
    item_vectors: str | None = None
    loss: Literal["bce", "softmax"] = "bce"
    dim: int = Field(48, ge=2)
    layers: int = Field(2, ge=1)
    heads: int = Field(2, ge=1)
    dropout: float = Field(0.2, ge=0, lt=1)
    max_length: int = Field(50, ge=2)
    content: bool = True
    negatives: int = Field(0, ge=0)
    negative_weight: float = Field(0.2, ge=0)
    epochs: int = Field(40, ge=1)
    patience: int = Field(12, ge=1)
    choose_by: Literal["auc", "ndcg"] = "auc"
    batch_size: int | None = Field(None, ge=1)
    learning_rate: float | None = Field(None, gt=0)
    weight_decay: float = Field(1e-2, ge=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    neighbours: int = Field(5, ge=1)
    experts: tuple[Literal["sasrec", "lightgcn", "din", "mf", "item-knn", "ease"], ...] = ("lightgcn", "din")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.model == "file" and not (self.user_vectors and self.item_vectors):
            raise ValueError("model: file needs user_vectors and item_vectors, two files")
        if self.model == "din" and self.loss == "softmax":
            raise ValueError("model: din knows loss: bce alone")
        return self

    def fitting(self) -> dict[str, Any]:
        """What the model's `fit` takes of it."""
        return {"users": self.user_vectors, "items": self.item_vectors} if self.model == "file" else self.training()

    def training(self) -> dict[str, Any]:
        """What `fit` of any learned model takes of it."""
        names = ("epochs", "patience", "choose_by", "batch_size", "learning_rate", "weight_decay", "device", "negatives", "negative_weight")
        return {name: getattr(self, name) for name in names}


class Documents(_Section):
    """A user's behaviour, told in words."""

    prompt: str = "describe_user"
    max_liked: int = Field(10, ge=0)
    max_disliked: int = Field(5, ge=0)
    max_tokens: int | None = Field(None, ge=8)
    tokenizer: str = "embedded"
    every: int = Field(16, ge=1)
    sparser_after: int = Field(6, ge=1)


class Retriever(_Section):
    """CAR."""

    encoder: str = "embedded"
    max_tokens: int = Field(112, ge=8)
    tune_layers: int | None = Field(3, ge=1)
    lora_rank: int | None = Field(None, ge=1)
    epochs: int = Field(4, ge=0)
    patience: int | None = Field(None, ge=1)
    batch_size: int = Field(64, ge=2)
    chunk: int | None = Field(None, ge=1)
    negatives: int = Field(0, ge=0)
    hard_negatives: int = Field(0, ge=0)
    learning_rate: float = Field(1e-4, gt=0)
    temperature: float = Field(0.05, gt=0)
    hold_out: float = Field(0.1, ge=0, lt=1)
    similarity_top_k: int = Field(10, ge=1)
    index_dtype: Literal["float32", "bfloat16"] = "float32"
    store: str = "chroma"
    store_options: dict[str, Any] = {}

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.patience is not None and not self.hold_out:
            raise ValueError("patience: nothing tells a gain where hold_out is 0")
        return self


class Reranker(_Section):
    """SARE."""

    encoder: str = "embedded"
    layers: int | None = Field(2, ge=1)
    max_tokens: int = Field(192, ge=8)
    assessor: str = "score-rag/offline"
    assess_prompt: str = "assess"
    api_base: str | None = None
    pairs: int = Field(300, ge=10)
    concurrency: int = Field(4, ge=1)
    max_answer_tokens: int = Field(400, ge=16)
    epochs: int = Field(2, ge=0)
    batch_size: int = Field(8, ge=1)
    learning_rate: float = Field(2e-4, gt=0)
    hold_out: float = Field(0.15, gt=0, lt=1)
    top_n: int = Field(2, ge=1)


class Predictor(AdapterTraining):
    """The language model that answers Yes or No."""

    base: str = "embedded"
    embedded_base: BaseTraining = BaseTraining()
    prompt: str = "predict"
    history: int = Field(10, ge=0)
    neighbours: NeighbourChoice = "any"
    base_examples: int | None = Field(None, ge=20)
    examples: int | None = Field(1500, ge=20)
    valid_examples: int = Field(2000, ge=20)


class Evaluation(_Section):
    """What is held out, and how much of it is scored."""

    split: Literal["train", "valid", "test"] = "test"
    rows: int | None = Field(3000, ge=1)
    resamples: int = Field(1000, ge=10)


class Pipeline(_Section):
    """A whole pipeline file."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    seed: int = Field(17, ge=0)
    runs: str = "runs"
    data: Data = Data()
    crm: Crm = Crm()
    documents: Documents = Documents()
    retriever: Retriever = Retriever()
    reranker: Reranker = Reranker()
    predictor: Predictor = Predictor()
    evaluation: Evaluation = Evaluation()

    _path: Path | None = PrivateAttr(None)
    _typed: str | None = PrivateAttr(None)
    _overrides: tuple[str, ...] = PrivateAttr(())

    @property
    def path(self) -> Path | None:
        """The file it was read from."""
        return self._path

    @property
    def words(self) -> str:
        """How to name it on the command line, settings that were changed there included: for hints that can be typed as they are."""
        return shlex.join([self._typed or self.name, *(word for override in self._overrides for word in ("--set", override))])


def pipeline_folders() -> list[Path]:
    """Where pipelines are looked for, first match wins: `./pipelines`, then the shipped ones."""
    here, shipped = Path("pipelines"), shipped_folder("pipelines")
    return [here] if here.resolve() == shipped.resolve() else [here, shipped]


def pipeline_names() -> list[str]:
    """Names of all pipelines that can be found."""
    return sorted({file.stem for folder in pipeline_folders() for file in folder.glob("*.yaml")})


def load_pipeline(name: str, *, overrides: Sequence[str] = ()) -> Pipeline:
    """Read a pipeline by name or path.

    Args:
        name: A name (`sample`), looked for in `pipeline_folders`, or a path to a YAML file.
        overrides: `section.key=value`, the value in YAML.

    Raises:
        InputError: No such pipeline.
        ConfigError: Unknown keys or wrong values, all at once.
    """
    path = _find(name)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError("a pipeline file is not valid YAML", where=path, found=str(error)) from error
    if not isinstance(content, dict):
        raise ConfigError("a pipeline file is empty or no mapping", where=path, expected="sections such as data:, crm:, ...")
    for override in overrides:
        _set(content, override)
    try:
        pipeline = Pipeline.model_validate(content)
    except ValidationError as error:
        found = "\n    ".join(_said(e["loc"], e["type"], e["msg"], e.get("input")) for e in error.errors())
        raise ConfigError(
            f"{error.error_count()} mistake{'s' if error.error_count() > 1 else ''} in a pipeline",
            where=path,
            found="\n    " + found,
            hint="every setting and what it means: score-rag pipelines show template",
        ) from error
    pipeline._path = path
    pipeline._typed = name
    pipeline._overrides = tuple(overrides)
    return pipeline


def _find(name: str) -> Path:
    if name.endswith((".yaml", ".yml")):
        if not Path(name).is_file():
            raise InputError("there is no such pipeline file", where=name, hint="list the shipped ones: score-rag pipelines list")
        return Path(name)
    for folder in pipeline_folders():
        if (folder / f"{name}.yaml").is_file():
            return folder / f"{name}.yaml"
    raise InputError(f"there is no pipeline {name!r}", hint=did_you_mean(name, pipeline_names()) + " (list: score-rag pipelines list)")


def _set(content: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError("a setting is malformed", where=f"--set {override}", expected="section.key=value")
    *sections, last = key.strip().split(".")
    place = content
    for section in sections:
        inner = place.setdefault(section, {})
        if not isinstance(inner, dict):
            raise ConfigError("a setting goes too deep", where=f"--set {override}", found=f"{section} is a value")
        place = inner
    try:
        place[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError("a setting's value is not valid YAML", where=f"--set {override}", found=str(error)) from error


def _keys(place: Sequence[Any]) -> list[str]:
    model: Any = Pipeline
    for part in place:
        field = model.model_fields.get(part)
        model = field.annotation if field is not None else None
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return []
    return list(model.model_fields)


def _said(where: Sequence[Any], kind: str, message: str, value: Any) -> str:
    name = ".".join(map(str, where))
    if kind == "extra_forbidden":
        return f"{name}: unknown key; {did_you_mean(str(where[-1]), _keys(where[:-1]))}"
    message = message.removeprefix("Value error, ")
    # A whole section says nothing that the message does not.
    return f"{name}: {message}" + ("" if kind == "missing" or isinstance(value, dict) else f", found {value!r}")
