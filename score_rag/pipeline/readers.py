"""Which stages read which settings, as the settings' models say: what a stage's key holds, and what a change makes stale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.stage import Stage
from score_rag.pipeline.stages import STAGES
from score_rag.settings import Setting, Settings, walk

__all__ = ["all_settings", "settings_read_by", "stale_stages"]


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
            yield from walk(section, stage, f"{name}.", type(section)() if outside else getattr(usual, name))


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
