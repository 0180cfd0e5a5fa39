"""Pipeline files: a YAML file that says what an experiment does otherwise than by default, checked as a whole before anything runs.

Unknown keys and wrong values are refused, all of them at once. A pipeline does not change once it is read.
"""

from __future__ import annotations

import shlex
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, Field, PrivateAttr, ValidationError, create_model, model_validator

from score_rag.crm.settings import CrmSettings
from score_rag.data.choices import Split
from score_rag.data.settings import DataSettings
from score_rag.documents.settings import DocumentSettings
from score_rag.errors import ConfigError, Consult, InputError, did_you_mean
from score_rag.files import at_home, named_file, shipped_folder
from score_rag.pipeline.yaml_text import read_yaml
from score_rag.predictor.settings import PredictorSettings
from score_rag.reranker.settings import RerankerSettings
from score_rag.retriever.settings import RetrieverSettings
from score_rag.settings import BUNDLED, OpenSettings, Settings, misfits, mistake

__all__ = ["Pipeline", "checked", "load_pipeline", "pipeline_folders", "pipeline_names", "set_override"]


class EvaluationSettings(Settings):
    """What is held out, and how much of it is scored."""

    split: Split = Field("test", description="train | valid | test")
    rows: int | None = Field(3000, ge=1, description="at most, as whole users; null takes all")
    resamples: int = Field(1000, ge=10, description="of the bootstrap over users")
    report_to: Literal["mlflow"] | None = Field(
        None, description="mlflow: log each table's metrics, into runs/NAME/logs/mlflow.db or where MLFLOW_TRACKING_URI says"
    )


def _run_name(name: str) -> str:
    """A name that can be a folder's: letters and digits of any alphabet, with the marks that they are written with.

    Raises:
        ValueError: It cannot.
    """
    name = unicodedata.normalize("NFC", name)
    kinds = [unicodedata.category(sign)[0] for sign in name]
    joiners = "._-\u200c\u200d"
    fits = all(kind in "LMN" or sign in joiners for kind, sign in zip(kinds, name, strict=True))
    if not name or not fits or kinds[0] not in "LN" or len(name.encode()) > 200:
        raise ValueError("a name consists of letters and digits (of any alphabet), and after the first one also of . _ -")
    return name


class Pipeline(OpenSettings):
    """A whole pipeline file: the rooms' settings, a section each. A section of another name is that of a stage from outside."""

    name: Annotated[str, AfterValidator(_run_name)] = Field(description="name of the run's folder")
    description: str = Field("", description="what it is, in a line")
    seed: int = Field(17, ge=0, description="of all random sampling")
    runs: str = Field("runs", description="folder of all runs; this one is in RUNS/NAME")
    data: DataSettings = DataSettings()
    crm: CrmSettings = CrmSettings()
    documents: DocumentSettings = DocumentSettings()
    retriever: RetrieverSettings = RetrieverSettings()
    reranker: RerankerSettings = RerankerSettings()
    predictor: PredictorSettings = PredictorSettings()
    evaluation: EvaluationSettings = EvaluationSettings()

    _path: Path | None = PrivateAttr(None)
    _typed: str | None = PrivateAttr(None)
    _overrides: tuple[str, ...] = PrivateAttr(())

    @classmethod
    def own_model(cls, values: Mapping[str, Any]) -> type[Settings]:
        from score_rag.pipeline.stages import STAGE_REGISTRY

        sections = {name: STAGE_REGISTRY[name].settings for name in values if name not in cls.model_fields and name in STAGE_REGISTRY}
        fields: dict[str, Any] = {name: (model, Field(default_factory=model)) for name, model in sections.items()}
        return create_model("Sections", __base__=Settings, **fields)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        own = self.predictor.bundled_base
        if self.predictor.base == BUNDLED and own.width % own.heads:
            told = f"the heads do not divide the width: {own.heads} heads, width {own.width}"
            raise misfits({"predictor.bundled_base.heads": told})
        return self

    @property
    def path(self) -> Path | None:
        """The file it was read from."""
        return self._path

    @property
    def words(self) -> str:
        """How to name it on the command line, settings that were changed there included: for hints that can be typed as they are."""
        return shlex.join([self._typed or self.name, *(word for override in self._overrides for word in ("--set", override))])


def pipeline_folders() -> list[Path]:
    """Where pipelines are looked for, first match wins: `pipelines/` in the home, then the shipped ones."""
    here, shipped = at_home("pipelines"), shipped_folder("pipelines")
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
        content = read_yaml(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError("a pipeline file is not valid YAML", where=path, found=str(error)) from error
    if not isinstance(content, dict):
        raise ConfigError("a pipeline file is empty or no mapping", where=path, expected="sections such as data:, crm:, ...")
    for override in overrides:
        set_override(content, override)
    pipeline = checked(content, path)
    pipeline._path = path
    pipeline._typed = name
    pipeline._overrides = tuple(overrides)
    return pipeline


def checked(content: dict[str, Any], path: Path) -> Pipeline:
    """A pipeline of what a file says.

    Raises:
        ConfigError: Unknown keys or wrong values, all at once.
    """
    try:
        return Pipeline.model_validate(content)
    except ValidationError as error:
        found, cause = error.errors(), error
    # What does not fit together among the other sections is told too.
    wrong = {line["loc"][0] for line in found}
    try:
        Pipeline.model_validate(
            {**{key: value for key, value in content.items() if key not in wrong}, **({"name": "x"} if "name" in wrong else {})}
        )
    except ValidationError as error:
        found += error.errors()
    told = "\n    ".join(mistake(line, _keys(line["loc"][:-1])) for line in found)
    raise ConfigError(
        f"{len(found)} mistake{'s' if len(found) > 1 else ''} in a pipeline",
        where=path,
        found="\n    " + told,
        hint="every setting and what it means",
        remedy=Consult("settings"),
    ) from cause


def _find(name: str) -> Path:
    if name.endswith((".yaml", ".yml")):
        if not Path(name).is_file():
            raise InputError("there is no such pipeline file", where=name, remedy=Consult("pipelines"))
        return Path(name)
    for folder in pipeline_folders():
        if (found := named_file(folder, name, ".yaml")) is not None:
            return found
    raise InputError(f"there is no pipeline {name!r}", hint=did_you_mean(name, pipeline_names()), remedy=Consult("pipelines"))


def set_override(content: dict[str, Any], override: str) -> None:
    """Change what a file says by `section.key=value`.

    Raises:
        ConfigError: It is malformed, or goes deeper than a value.
    """
    key, equals, value = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError("a setting is malformed", where=override, expected="section.key=value")
    *sections, last = key.strip().split(".")
    place = content
    for section in sections:
        inner = place.setdefault(section, {})
        if not isinstance(inner, dict):
            raise ConfigError("a setting goes too deep", where=override, found=f"{section} is a value")
        place = inner
    try:
        place[last] = read_yaml(value)
    except yaml.YAMLError as error:
        raise ConfigError("a setting's value is not valid YAML", where=override, found=str(error)) from error


def _keys(place: Sequence[Any]) -> list[str]:
    model: Any = Pipeline
    for part in place:
        field = model.model_fields.get(part)
        model = field.annotation if field is not None else None
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return []
    return list(model.model_fields)
