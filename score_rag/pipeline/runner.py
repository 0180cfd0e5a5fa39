"""The runner: stages in order, each skipped, run or refused by what it was made from.

A finished stage is a folder with `finished.json`, which holds everything its making depended on: settings, seed, prompts, input files,
and the outputs of earlier stages (by content, so that a stage that was run again with the same result makes nothing stale). A stage is
written aside and moved into place whole, so a process killed at any moment leaves finished stages or none. One writer a run folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from score_rag.errors import DataError, InputError, StageError, did_you_mean
from score_rag.files import digest_file, digest_folder, folder_lock, read_json, staged_folder, write_json
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.inputs import input_digests, record_inputs
from score_rag.pipeline.readers import settings_read_by
from score_rag.pipeline.stage import Stage, StageContext
from score_rag.pipeline.stages import STAGES
from score_rag.progress import Report, silent
from score_rag.prompts import find_prompt

__all__ = ["STAGES", "Stage", "StageContext", "StageStatus", "finished_folder", "run", "run_folder", "status"]

_FORMAT = 2
"""Of a stage's key in `finished.json`; 1 held whole sections."""

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
    """`runs/<name>`."""
    return Path(pipeline.runs) / pipeline.name


def finished_folder(pipeline: Pipeline, stage: str) -> Path:
    """The folder of a finished stage.

    Raises:
        StageError: It is not finished, or was made by another version of score-rag.
    """
    folder = run_folder(pipeline) / stage
    if _finished(pipeline, stage) is None:
        old = _old_format(folder)
        raise StageError(
            f"the stage {stage!r} of {pipeline.name!r} {old or 'is not finished'}",
            where=folder,
            hint=f"score-rag run {pipeline.words}",
        )
    return folder


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
        read: Whether they are read even where their size and time are what they were.
    """
    out: list[StageStatus] = []
    for stage in stages:
        late = [known.name for known in out if known.name in stage.needs and known.state != "finished"]
        state, reason = _judge(pipeline, stage, inputs=inputs, read=read)
        if state == "finished" and late:
            state, reason = "stale", f"{late[0]} is not up to date"
        done = _finished(pipeline, stage.name) if state != "missing" else None
        out.append(
            StageStatus(stage.name, state, reason, metrics=done["metrics"] if done else {}, seconds=done["seconds"] if done else None)
        )
    return out


def run(
    pipeline: Pipeline,
    stages: Sequence[Stage],
    *,
    only: str | None = None,
    until: str | None = None,
    force: bool = False,
    dry_run: bool = False,
    report: Report = silent,
    tell: Callable[[StageStatus], None] | None = None,
) -> list[StageStatus]:
    """Bring a run up to date.

    Args:
        only: Run this stage alone; its inputs must be up to date.
        until: Stop after this stage.
        force: Run the chosen stages even where nothing changed.
        dry_run: Change nothing; say what would run, why, and at what cost.
        tell: Called with each stage's outcome as it comes.

    Returns:
        One status a chosen stage, with what was done.

    Raises:
        InputError: No such stage, or both `only` and `until`.
        StageError: With `only`, an input is missing or stale.
        LockedError: Another process is writing to the same run.
    """
    names = [stage.name for stage in stages]
    for given in (only, until):
        if given is not None and given not in names:
            raise InputError(f"there is no stage {given!r}", hint=did_you_mean(given, names))
    if only is not None and until is not None:
        raise InputError("--only and --until exclude each other", expected="one of them", found=f"--only {only} --until {until}")
    chosen = [stage for stage in stages if only in (None, stage.name)]
    if until is not None:
        chosen = [stage for stage in chosen if names.index(stage.name) <= names.index(until)]
    if only is not None:
        late = [known for known in status(pipeline, stages, read=True) if known.name in chosen[0].needs and known.state != "finished"]
        if late:
            why = f" ({late[0].reason})" if late[0].reason else ""
            raise StageError(
                f"the stage {only!r} needs {late[0].name!r}, which is {late[0].state}{why}",
                hint=f"score-rag run {pipeline.words} --until {late[-1].name}",
            )
    for stage in chosen:
        # What is missing is told now, not after the stages before it have run.
        for name in stage.prompt_names(pipeline):
            find_prompt(name)
        if stage.check is not None and not dry_run and (force or _judge(pipeline, stage)[0] != "finished"):
            stage.check(pipeline)
    if dry_run:
        return _plan(pipeline, chosen, force, tell)
    out = []
    with folder_lock(run_folder(pipeline), doing=f"score-rag run {pipeline.name}"):
        for stage in chosen:
            state, reason = _judge(pipeline, stage)
            if state == "finished" and not force:
                done = _finished(pipeline, stage.name) or {}
                result = StageStatus(stage.name, state, "unchanged", "skipped", done.get("metrics", {}), done.get("seconds"))
            else:
                result = _make(pipeline, stage, "forced" if state == "finished" else reason, report)
            out.append(result)
            if tell is not None:
                tell(result)
    return out


def _plan(pipeline: Pipeline, chosen: Sequence[Stage], force: bool, tell: Callable[[StageStatus], None] | None) -> list[StageStatus]:
    out: list[StageStatus] = []
    due: list[str] = []
    for stage, known in zip(chosen, status(pipeline, chosen, read=True), strict=True):
        runs = force or known.state != "finished"
        due += [stage.name] if runs else []
        cost = stage.plan(_context(pipeline, silent), due) if runs and stage.plan else ""
        reason = known.reason if known.state != "finished" else "forced" if force else "unchanged"
        result = StageStatus(stage.name, known.state, reason, "would run" if runs else "skipped", known.metrics, known.seconds, cost)
        out.append(result)
        if tell is not None:
            tell(result)
    return out


def _make(pipeline: Pipeline, stage: Stage, reason: str, report: Report) -> StageStatus:
    inputs = record_inputs(stage.inputs(pipeline) if stage.inputs else [])
    key = _key(pipeline, stage, records=inputs)
    started = time.monotonic()
    final = run_folder(pipeline) / stage.name
    context = _context(pipeline, report)
    context.scratch.mkdir(parents=True, exist_ok=True)
    with staged_folder(final) as aside:
        metrics = stage.run(context, aside)
        seconds = round(time.monotonic() - started, 1)
        files = {file.relative_to(aside).as_posix(): file.stat().st_size for file in sorted(aside.rglob("*")) if file.is_file()}
        content = digest_folder(aside, without=stage.caches)
        where = {name: str(find_prompt(name).path) for name in stage.prompt_names(pipeline)}
        source = {"path": str(pipeline.path), "sha256": digest_file(pipeline.path)} if pipeline.path else None
        write_json(
            aside / "finished.json",
            {
                "stage": stage.name,
                "key": key,
                "inputs": inputs,
                "content": content,
                "files": files,
                "metrics": metrics,
                "seconds": seconds,
                "versions": _versions(),
                "prompts": where,
                "pipeline": source,
            },
        )
    return StageStatus(stage.name, "finished", reason, "ran", metrics, seconds)


def _context(pipeline: Pipeline, report: Report) -> StageContext:
    return StageContext(pipeline, lambda name: finished_folder(pipeline, name), find_prompt, run_folder(pipeline) / "scratch", report)


def _finished(pipeline: Pipeline, stage: str) -> dict[str, Any] | None:
    """What `finished.json` says; None where the stage is not finished, or what it says is not of this form."""
    file = run_folder(pipeline) / stage / "finished.json"
    if not file.is_file():
        return None
    try:
        found = read_json(file)
    except DataError:
        return None
    whole = isinstance(found, dict) and found.keys() >= {"key", "content", "files", "metrics", "seconds"}
    return found if whole and isinstance(found["key"], dict) and found["key"].get("format") == _FORMAT else None


def _key(pipeline: Pipeline, stage: Stage, *, inputs: bool = True, records: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Everything that the stage's outcome depends on; without `inputs`, but for the files from outside, which may be large: what `records`
    says of unchanged ones is not read again."""
    settings = settings_read_by(pipeline, stage)
    upstream = {}
    for name in stage.needs:
        done = _finished(pipeline, name)
        upstream[name] = done["content"] if done else None
    prompts = {name: find_prompt(name).sha256 for name in stage.prompt_names(pipeline)}
    files = input_digests(stage.inputs(pipeline) if stage.inputs and inputs else [], records)
    return {"format": _FORMAT, "seed": pipeline.seed, "settings": settings, "upstream": upstream, "prompts": prompts, "inputs": files}


def _judge(pipeline: Pipeline, stage: Stage, *, inputs: bool = True, read: bool = True) -> tuple[State, str]:
    """Whether a stage can stay as it is, and if not, why."""
    done = _finished(pipeline, stage.name)
    folder = run_folder(pipeline) / stage.name
    if done is None:
        old = _old_format(folder)
        return "missing", f"it {old}" if old else "its finished.json is of another form" if (
            folder / "finished.json"
        ).exists() else "not run yet"
    for cache in stage.caches:
        if not (folder / cache).is_dir():
            return "stale", f"output folder {cache} is missing"
    for name, size in done["files"].items():
        # What can be made again keeps its own house: stores touch their files when they are opened, an index has generations.
        if any(name.startswith(f"{cache}/") for cache in stage.caches):
            continue
        if not (folder / name).is_file():
            return "stale", f"output file {name} is missing"
        if (folder / name).stat().st_size != size:
            return "stale", f"output file {name} was changed"
    try:
        old, new = done["key"], _key(pipeline, stage, inputs=inputs, records=None if read else done.get("inputs"))
    except DataError as error:
        # Told where its data is, but it is not there: that is no "unchanged".
        return "stale", f"{error.what}: {error.where}"
    if old["inputs"] and not new["inputs"]:
        # Asked about a run without being told where its data is: the data is taken to be what it was.
        new["inputs"] = old["inputs"]
    if old == new:
        return "finished", ""
    return "stale", "; ".join(_differences(old, new)) or "it was made by another version"


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


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in ("score-rag", "torch", "transformers", "sentence-transformers", "peft", "chromadb", "litellm", "llama-index-core"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
