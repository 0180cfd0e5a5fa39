"""The runner: stages in order, each skipped, run or refused by how it stands.

A stage is written aside and moved into place whole, so a process killed at any moment leaves finished stages or none. One writer a run
folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from score_rag.errors import InputError, RunStage, StageError, did_you_mean
from score_rag.files import digest_file, digest_json, digests_of, folder_lock, sealed, staged_folder, write_json
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.inputs import record_inputs
from score_rag.pipeline.stage import Stage, StageContext
from score_rag.pipeline.state import StageStatus, finished_folder, finished_record, judge, run_folder, stage_key, status
from score_rag.pipeline.tracking import tracked
from score_rag.pipeline.usage import PeakMemory, machine
from score_rag.progress import Report, silent
from score_rag.prompts import find_prompt

__all__ = ["run"]


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
    begun: Callable[[StageStatus], None] | None = None,
) -> list[StageStatus]:
    """Bring a run up to date.

    Args:
        only: Run this stage alone; its inputs must be up to date.
        until: Stop after this stage.
        force: Run the chosen stages even where nothing changed.
        dry_run: Change nothing; say what would run, why, and at what cost.
        tell: Called with each stage's outcome as it comes.
        begun: Called with each stage that is run, before it is.

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
        raise InputError("only and until exclude each other", expected="one of them", found=f"only {only}, until {until}")
    chosen = [stage for stage in stages if only in (None, stage.name)]
    if until is not None:
        chosen = [stage for stage in chosen if names.index(stage.name) <= names.index(until)]
    if only is not None:
        late = [known for known in status(pipeline, stages, read=True) if known.name in chosen[0].needs and known.state != "finished"]
        if late:
            why = f" ({late[0].reason})" if late[0].reason else ""
            error = StageError(f"the stage {only!r} needs {late[0].name!r}, which is {late[0].state}{why}", remedy=RunStage(late[-1].name))
            error.pipeline = pipeline.words
            raise error
    for stage in chosen:
        # What is missing is told now, not after the stages before it have run.
        for name in stage.prompt_names(pipeline):
            find_prompt(name)
        if stage.check is not None and not dry_run and (force or judge(pipeline, stage)[0] != "finished"):
            stage.check(pipeline)
    if dry_run:
        return _plan(pipeline, chosen, force, tell)
    out = []
    with folder_lock(run_folder(pipeline), doing=f"running the pipeline {pipeline.name}"):
        for stage in chosen:
            state, reason = judge(pipeline, stage)
            if state == "finished" and not force:
                done = finished_record(pipeline, stage.name) or {}
                result = StageStatus(stage.name, state, "unchanged", "skipped", done.get("metrics", {}), done.get("seconds"))
            else:
                why = "forced" if state == "finished" else reason
                if begun is not None:
                    earlier = finished_record(pipeline, stage.name)
                    begun(StageStatus(stage.name, state, why, seconds=earlier["seconds"] if earlier else None))
                result = _make(pipeline, stage, why, report, tuple(one.name for one in chosen))
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


def _make(pipeline: Pipeline, stage: Stage, reason: str, report: Report, due: tuple[str, ...]) -> StageStatus:
    inputs = record_inputs(stage.inputs(pipeline) if stage.inputs else [])
    key = stage_key(pipeline, stage, records=inputs)
    started, peak = time.monotonic(), PeakMemory()
    peak.start()
    final = run_folder(pipeline) / stage.name
    context = _context(pipeline, report, due)
    context.scratch.mkdir(parents=True, exist_ok=True)
    with staged_folder(final) as aside, tracked(pipeline):
        metrics = stage.run(context, aside)
        seconds = round(time.monotonic() - started, 1)
        files = {file.relative_to(aside).as_posix(): file.stat().st_size for file in sorted(aside.rglob("*")) if file.is_file()}
        digests = digests_of(aside, without=stage.caches)
        where = {name: str(find_prompt(name).path) for name in stage.prompt_names(pipeline)}
        source = {"path": str(pipeline.path), "sha256": digest_file(pipeline.path)} if pipeline.path else None
        record = {
            "stage": stage.name,
            "key": key,
            "inputs": inputs,
            "content": digest_json(digests),
            "files": files,
            "digests": digests,
            "metrics": metrics,
            "seconds": seconds,
            **peak.read(),
            "machine": machine(),
            "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "versions": _versions(),
            "prompts": where,
            "pipeline": source,
        }
        write_json(aside / "finished.json", sealed(record))
    return StageStatus(stage.name, "finished", reason, "ran", metrics, seconds)


def _context(pipeline: Pipeline, report: Report, due: tuple[str, ...] = ()) -> StageContext:
    scratch = run_folder(pipeline) / "scratch"
    return StageContext(pipeline, lambda name: finished_folder(pipeline, name), find_prompt, scratch, report, due)


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in ("score-rag", "torch", "transformers", "sentence-transformers", "peft", "chromadb", "litellm", "llama-index-core"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
