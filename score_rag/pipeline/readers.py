"""Which stages read which settings, as the settings' models say: what a stage's key holds, and what a change makes stale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.stage import Stage
from score_rag.pipeline.stages import STAGES
from score_rag.settings import OpenSettings, ReadBy, Settings

__all__ = ["Setting", "all_settings", "settings_read_by", "stale_stages"]


class Setting(NamedTuple):
    """One setting: its full name, what the model says of it, its default and value, and the stages that read it."""

    name: str
    field: FieldInfo
    default: Any
    value: Any
    readers: tuple[str, ...]
    kind: str


def _walk(settings: BaseModel, stage: str, before: str = "", default: BaseModel | None = None) -> Iterator[Setting]:
    """All settings of a section, those of its parts included.

    Args:
        settings: The section's values.
        stage: The stage of that name, which reads what is not marked otherwise; empty where there is none.
        before: What full names begin with.
        default: The values where nothing is said.
    """
    extra: dict[str, Any] = settings.model_extra or {}
    own = settings.own_model(extra | dict(settings)) if isinstance(settings, OpenSettings) and extra else None
    fields = {**type(settings).model_fields, **{name: own.model_fields[name] for name in extra if own and name in own.model_fields}}
    for name, field in fields.items():
        value = getattr(settings, name)
        usual = getattr(default, name, None) if default is not None and name not in extra else field.get_default(call_default_factory=True)
        if isinstance(value, BaseModel):
            yield from _walk(value, stage, f"{before}{name}.", usual)
            continue
        marks = [mark for mark in field.metadata if isinstance(mark, ReadBy)] or [ReadBy()]
        readers = ((stage,) if stage and marks[0].own else ()) + marks[0].feeds
        yield Setting(f"{before}{name}", field, usual, value, readers, marks[0].kind)


def all_settings(pipeline: Pipeline) -> Iterator[Setting]:
    """All settings of a pipeline, in the order of its sections; those of outside stages come last."""
    usual = Pipeline(name=pipeline.name)
    for name, field in Pipeline.model_fields.items():
        if not isinstance(getattr(pipeline, name), Settings):
            # The seed is read by every stage; name, description and runs say which run it is.
            readers = STAGES if name == "seed" else ()
            yield Setting(name, field, getattr(usual, name), getattr(pipeline, name), readers, "")
    for name in (*Pipeline.model_fields, *(pipeline.model_extra or ())):
        section = getattr(pipeline, name)
        if isinstance(section, Settings):
            outside = name not in Pipeline.model_fields
            stage = name if name in STAGES or outside else ""
            yield from _walk(section, stage, f"{name}.", type(section)() if outside else getattr(usual, name))


def settings_read_by(pipeline: Pipeline, stage: Stage) -> dict[str, Any]:
    """The values, as JSON has them, of all settings that a stage reads, but for the seed."""
    content = pipeline.model_dump(mode="json")
    out = {}
    for setting in all_settings(pipeline):
        asked = any(setting.name == name or setting.name.startswith(f"{name}.") for name in stage.reads)
        if setting.name != "seed" and (stage.name in setting.readers or asked):
            value: Any = content
            for part in setting.name.split("."):
                value = value[part]
            out[setting.name] = value
    return out


def stale_stages(setting: Setting, stages: Sequence[Stage]) -> tuple[str, ...]:
    """What a change of a setting makes stale: the stages that read it, and all that need one of those."""
    out: list[str] = []
    for stage in stages:
        if stage.name in setting.readers or setting.name in stage.reads or set(stage.needs) & set(out):
            out.append(stage.name)
    return tuple(out)
