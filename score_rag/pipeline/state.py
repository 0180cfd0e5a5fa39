"""How a run's stages stand: finished, stale (and why), or missing.

A finished stage is a folder with `finished.json`, which holds everything its making depended on: settings, seed, prompts, input files,
and the outputs of earlier stages (by content, so that a stage that was run again with the same result makes nothing stale).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from score_rag.errors import DataError, RunStage, StageError
from score_rag.files import at_home, check_sealed, digest_file, digest_json, is_whole, read_json
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.inputs import input_digests
from score_rag.pipeline.readers import settings_read_by
from score_rag.pipeline.stage import Stage
from score_rag.prompts import find_prompt

__all__ = ["StageStatus", "finished_folder", "finished_record", "judge", "run_folder", "stage_key", "status"]

_FORMAT = 3
"""Of a stage's key in `finished.json`: 1 held whole sections, 2 called bundled models embedded."""

State = Literal["finished", "stale", "missing"]


@dataclass(frozen=True)
class StageStatus:
    """A stage as it stands: finished, stale (and why), or missing; or what a run did with it."""

    name: str
    state: State
    reason: str = ""
    action: Literal["", "ran", "skipped", "would run"] = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    plan: str = ""


def run_folder(pipeline: Pipeline) -> Path:
    """`runs/<name>`, seen from the home."""
    return at_home(pipeline.runs) / pipeline.name


def finished_folder(pipeline: Pipeline, stage: str) -> Path:
    """The folder of a finished stage, its files as they were written.

    Weights that only training reads are left to whoever opens them.

    Raises:
        StageError: It is not finished, was made by another version of score-rag, or a file was changed since.
    """
    folder = run_folder(pipeline) / stage
    try:
        if finished_record(pipeline, stage) is None:
            old = _old_format(folder)
            raise StageError(f"the stage {stage!r} of {pipeline.name!r} {old or 'is not finished'}", where=folder, remedy=RunStage(None))
        check_sealed(folder, served=True)
    except StageError as error:
        error.pipeline = pipeline.words
        raise
    return folder


def finished_record(pipeline: Pipeline, stage: str) -> dict[str, Any] | None:
    """What `finished.json` says; None where the stage is not finished, or what it says is not of this form."""
    file = run_folder(pipeline) / stage / "finished.json"
    if not file.is_file():
        return None
    try:
        found = read_json(file)
    except DataError:
        return None
    whole = isinstance(found, dict) and found.keys() >= {"key", "content", "files", "metrics", "seconds"} and is_whole(found)
    return found if whole and isinstance(found["key"], dict) and found["key"].get("format") == _FORMAT else None


def _old_format(folder: Path) -> str:
    """What to say of a stage that another version of score-rag made; empty where none did."""
    try:
        found = read_json(folder / "finished.json")["key"]["format"]
    except (DataError, KeyError, TypeError):
        return ""
    return f"was made by another version of score-rag (format {found}, this one has {_FORMAT})" if found != _FORMAT else ""


def status(pipeline: Pipeline, stages: Sequence[Stage], *, inputs: bool = True, read: bool = False) -> list[StageStatus]:
    """How each stage stands, in order.

    Args:
        inputs: Whether files from outside are looked at; without, they are taken to be what they were.
        read: Whether they, and the stages' own files, are read even where size and time are what they were.
    """
    out: list[StageStatus] = []
    for stage in stages:
        late = [known.name for known in out if known.name in stage.needs and known.state != "finished"]
        state, reason = judge(pipeline, stage, inputs=inputs, read=read)
        if state == "finished" and late:
            state, reason = "stale", f"{late[0]} is not up to date"
        done = finished_record(pipeline, stage.name) if state != "missing" else None
        out.append(
            StageStatus(stage.name, state, reason, metrics=done["metrics"] if done else {}, seconds=done["seconds"] if done else None)
        )
    return out


def judge(pipeline: Pipeline, stage: Stage, *, inputs: bool = True, read: bool = True) -> tuple[State, str]:
    """Whether a stage can stay as it is, and if not, why."""
    done = finished_record(pipeline, stage.name)
    folder = run_folder(pipeline) / stage.name
    if done is None:
        old = _old_format(folder)
        return "missing", f"it {old}" if old else "its finished.json is of another form" if (
            folder / "finished.json"
        ).exists() else "not run yet"
    for cache in stage.caches:
        if not (folder / cache).is_dir() and any(name.startswith(f"{cache}/") for name in done["files"]):
            return "stale", f"output folder {cache} is missing"
    for name, size in done["files"].items():
        # What can be made again keeps its own house: stores touch their files when they are opened, an index has generations.
        if any(name.startswith(f"{cache}/") for cache in stage.caches):
            continue
        if not (folder / name).is_file():
            return "stale", f"output file {name} is missing"
        if (folder / name).stat().st_size != size:
            return "stale", f"output file {name} was changed"
    if read and (name := _changed(folder, done, stage.caches)):
        return "stale", f"{name} was changed: its bytes are not those that were written"
    try:
        old, new = done["key"], stage_key(pipeline, stage, inputs=inputs, records=None if read else done.get("inputs"))
    except DataError as error:
        # Told where its data is, but it is not there: that is no "unchanged".
        return "stale", f"{error.what}: {error.where}"
    if old["inputs"] and not new["inputs"]:
        # Asked about a run without being told where its data is: the data is taken to be what it was.
        new["inputs"] = old["inputs"]
    if old == new:
        return "finished", ""
    return "stale", "; ".join(_differences(old, new)) or "it was made by another version"


def _changed(folder: Path, done: Mapping[str, Any], caches: Sequence[str]) -> str:
    """What is not as it was written, of the same length as it may be; empty where all is. Every file is read."""
    names = sorted(name for name in done["files"] if not any(name.startswith(f"{cache}/") for cache in caches))
    found = {name: digest_file(folder / name) for name in names}
    if digest_json(found) == done["content"]:
        return ""
    # A record of an earlier version does not say which.
    digests = done.get("digests", {})
    return next((f"output file {name}" for name in names if name in digests and digests[name] != found[name]), "an output file")


def stage_key(pipeline: Pipeline, stage: Stage, *, inputs: bool = True, records: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Everything that the stage's outcome depends on; without `inputs`, but for the files from outside, which may be large: what `records`
    says of unchanged ones is not read again."""
    settings = settings_read_by(pipeline, stage)
    upstream = {}
    for name in stage.needs:
        done = finished_record(pipeline, name)
        upstream[name] = done["content"] if done else None
    prompts = {name: find_prompt(name).sha256 for name in stage.prompt_names(pipeline)}
    files = input_digests(stage.inputs(pipeline) if stage.inputs and inputs else [], records)
    return {"format": _FORMAT, "seed": pipeline.seed, "settings": settings, "upstream": upstream, "prompts": prompts, "inputs": files}


def _differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    said = []
    if old["seed"] != new["seed"]:
        said.append(f"seed: {old['seed']} → {new['seed']}")
    before, after = _flat(old["settings"]), _flat(new["settings"])
    said += [f"{key}: {before.get(key)} → {after.get(key)}" for key in sorted({*before, *after}) if before.get(key) != after.get(key)]
    said += [f"upstream {name} changed" for name in new["upstream"] if old["upstream"].get(name) != new["upstream"][name]]
    said += [f"prompt {name} changed" for name in new["prompts"] if old["prompts"].get(name) != new["prompts"][name]]
    said += [f"input file {name} changed" for name in new["inputs"] if old["inputs"].get(name) != new["inputs"][name]]
    return said


def _flat(tree: dict[str, Any], before: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in tree.items():
        out.update(_flat(value, f"{before}{name}.") if isinstance(value, dict) else {f"{before}{name}": value})
    return out
