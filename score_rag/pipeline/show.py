"""A pipeline's settings in words: every value with its meaning, or only what differs from the defaults; and the page of all settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.readers import Setting, all_settings, stale_stages
from score_rag.pipeline.stages import SHIPPED

__all__ = ["changed_settings", "full_yaml", "settings_page"]

_COLUMN = 34


def full_yaml(pipeline: Pipeline) -> str:
    """Every setting as a YAML file that says the same, each with its meaning."""
    lines = [f"# Every setting of {pipeline.name}, those at their default too."]
    open_sections: list[str] = []
    content = pipeline.model_dump(mode="json")
    for setting in all_settings(pipeline):
        *sections, name = setting.name.split(".")
        for depth, section in enumerate(sections):
            if open_sections[: depth + 1] != sections[: depth + 1]:
                head = f"{'  ' * depth}{section}:"
                lines += [*([""] if depth == 0 else []), _commented(head, _about(pipeline, sections[: depth + 1]))]
                open_sections = sections[: depth + 1]
        open_sections = sections
        said = f"{'  ' * len(sections)}{name}: {_value(_at(content, setting.name))}"
        lines.append(_commented(said, setting.field.description or ""))
    return "\n".join(lines) + "\n"


def changed_settings(pipeline: Pipeline) -> dict[str, tuple[Any, Any]]:
    """(default, value) of each setting that is not at its default, by full name; name and description are nobody's default."""
    content = pipeline.model_dump(mode="json")
    found = {}
    for setting in all_settings(pipeline):
        if setting.value != setting.default and setting.name not in ("name", "description"):
            found[setting.name] = (_plain(setting.default), _at(content, setting.name))
    return found


def settings_page() -> str:
    """`docs/settings.md`: each setting, its default, its meaning, and the stages that a change makes stale."""
    names = ", ".join(stage.name for stage in SHIPPED)
    lines = [
        "# Settings",
        "",
        "A pipeline file says what differs from these defaults. `score-rag pipelines show NAME --full` prints every value of a pipeline,",
        "`--diff` what differs. Any setting can be changed on the command line: `--set crm.dim=64`.",
        "",
        f"The stages are {names}. The last column names those that run again when the setting changes: the stages that read it, and",
        "every stage that needs one of those. *serving* marks settings of how trained parts are used, or how fast: they train nothing",
        "again, but what a later stage learned from. *location* marks settings of where something is: what the files say counts, not",
        "where they are. A stage that runs again and gives the same result makes no later stage run.",
    ]
    needs = [f"`{stage.name}` needs {', '.join(f'`{name}`' for name in stage.needs)}" for stage in SHIPPED if stage.needs]
    lines += ["", "; ".join(needs) + "."]
    section = None
    for setting in all_settings(Pipeline(name="name")):
        head, _, rest = setting.name.partition(".")
        if (head if rest else "") != section:
            section = head if rest else ""
            lines += ["", f"## {section or 'The run'}", "", "| setting | default | meaning | makes stale |", "|---|---|---|---|"]
        lines.append(_row(setting))
    return "\n".join(lines) + "\n"


def _commented(said: str, told: str) -> str:
    return f"{said:{_COLUMN - 1}} # {told}" if told else said


def _row(setting: Setting) -> str:
    default = "(required)" if setting.field.is_required() else f"`{_value(_plain(setting.default))}`"
    stale = ", ".join(stale_stages(setting, SHIPPED)) or "nothing"
    if setting.name in ("name", "runs"):
        stale = "another run's folder"
    mark = f" (*{setting.kind}*)" if setting.kind else ""
    return f"| `{setting.name}` | {default} | {(setting.field.description or '').replace('|', chr(92) + '|')} | {stale}{mark} |"


def _about(pipeline: Pipeline, sections: list[str]) -> str:
    found: Any = pipeline
    for name in sections:
        found = getattr(found, name)
    return " ".join((type(found).__doc__ or "").split("\n")[0].split()).removesuffix(".")


def _at(content: Mapping[str, Any], name: str) -> Any:
    found: Any = content
    for part in name.split("."):
        found = found[part]
    return found


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else dict(value) if isinstance(value, Mapping) else value


def _value(value: Any) -> str:
    """In YAML, on one line."""
    if isinstance(value, float):
        return json.dumps(value) if "e" not in json.dumps(value) else f"{value:f}".rstrip("0")
    return yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True).removesuffix("\n").removesuffix("\n...").strip()
