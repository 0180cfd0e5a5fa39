"""Finished stages of other runs, taken over where they were made from the very things that this run has: nothing is computed twice.

A stage's files never change once it is finished, so they are linked (copied where the file system cannot); what can be made again, such as
an index whose store writes to its files, is copied.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from score_rag.errors import DataError
from score_rag.files import changed_file, folder_lock, is_whole, read_json, staged_folder
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.stage import Stage
from score_rag.pipeline.state import judge, run_folder, stage_key

__all__ = ["adopt"]

_ANSWERS = "assessments.jsonl"


def adopt(pipeline: Pipeline, stages: Sequence[Stage], sources: Sequence[Path]) -> list[str]:
    """Take over stages that other runs have finished.

    Args:
        pipeline: Whose run is to have them.
        stages: In order; one that differs from all that are there is left to be run.
        sources: Folders of other runs, the first that fits is taken. Their answers of assessors are taken over too: each is paid for once.

    Returns:
        Names of the stages that were taken over.

    Raises:
        LockedError: Another process writes to the run.
    """
    own = run_folder(pipeline)
    out = []
    with folder_lock(own, doing=f"taking over stages for {pipeline.name}"):
        for source in sources:
            answers = own / "scratch" / _ANSWERS
            if (source / "scratch" / _ANSWERS).is_file() and not answers.exists():
                answers.parent.mkdir(parents=True, exist_ok=True)
                aside = answers.with_name(f".{_ANSWERS}.tmp")
                shutil.copyfile(source / "scratch" / _ANSWERS, aside)
                aside.replace(answers)
        for stage in stages:
            if judge(pipeline, stage, read=False)[0] == "finished":
                continue
            found = next((source / stage.name for source in sources if _same(pipeline, stage, source / stage.name)), None)
            if found is not None:
                with staged_folder(own / stage.name) as aside:
                    _link(found, aside, stage.caches)
                out.append(stage.name)
    return out


def _same(pipeline: Pipeline, stage: Stage, folder: Path) -> bool:
    """Whether a folder holds what the stage would make."""
    try:
        record: Any = read_json(folder / "finished.json")
        old, new = record["key"], stage_key(pipeline, stage, records=record.get("inputs"))
    except (DataError, KeyError, TypeError):
        return False
    if old.get("inputs") and not new["inputs"]:
        # Without being told where the data is: it is taken to be what it was, as a run's status takes it.
        new["inputs"] = old["inputs"]
    return bool(old == new) and is_whole(record) and changed_file(folder, record.get("digests", {})) is None


def _link(source: Path, into: Path, caches: Sequence[str]) -> None:
    for file in sorted(source.rglob("*")):
        place = into / file.relative_to(source)
        if file.name == ".lock":
            continue
        if file.is_dir():
            place.mkdir(parents=True, exist_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        if file.relative_to(source).parts[0] in caches:
            shutil.copy2(file, place)
            continue
        try:
            os.link(file, place)
        except OSError:
            shutil.copy2(file, place)
