"""A disk that is full in the middle of every stage: one clear line, nothing half-written, and the same command goes on."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.stress.processes import Died, asked, context
from benchmarks.stress.result import Clock, Result

__all__ = ["disk"]

_PAGE, _LOCK = 4096, 16_384
_STAGES = ("data", "crm", "documents", "retriever", "reranker", "predictor")


def disk(minutes: float, seed: int, toy: str | None) -> Result:
    """Each stage of the toy run, and a feedback log and an index, on a tmpfs that has no room for them."""
    result, draw = Result("disk"), random.Random(seed)
    result.full = len(_STAGES) + 1
    with tempfile.TemporaryDirectory(prefix="score-rag-disk-") as place, _small_disk(Path(place) / "disk", 900) as why:
        if why:
            result.skipped = f"no small disk can be mounted here: {why}"
            return result.ended()
        source, clock = context(heavy=True), Clock(minutes)
        _try(result, "index and log", lambda: asked(source, _index_and_log, Path(place) / "disk" / "small", Path(place) / "disk"))
        for stage in _STAGES if toy is not None else ():
            if not clock:
                break
            share = draw.random()
            _try(result, f"run {stage}", lambda stage=stage, share=share: asked(source, _stage, toy, stage, Path(place) / "disk", share))
    result.done = sum(result.counts.values())
    return result.ended()


def _try(result: Result, name: str, work: Callable[[], list[str]]) -> None:
    result.counts[name] += 1
    try:
        faults = work()
    except Died as error:
        faults = [str(error)]
    for fault in faults:
        result.fault(f"{name}: {fault}")


@contextmanager
def _small_disk(place: Path, megabytes: int) -> Iterator[str]:
    """A file system of its own; why there is none, where there is none."""
    place.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("mount") is None:
        yield "only root mounts one, on Linux"
        return
    told = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)], capture_output=True, text=True)
    if told.returncode:
        yield told.stderr.strip() or "mount failed"
        return
    try:
        yield ""
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def _fill(place: Path, free: int) -> Path:
    """A file that leaves so many bytes."""
    ballast = place / "ballast"
    with ballast.open("wb") as stream:
        room = os.statvfs(place)
        os.posix_fallocate(stream.fileno(), 0, max(1, room.f_bavail * room.f_frsize - free))
    return ballast


def _stage(toy: str, stage: str, place: Path, share: float) -> list[str]:
    """Run one stage with room for a share of it, then with room enough."""
    from run_copies import said

    runs, theirs = place / "runs", Path(toy).parent / "runs" / "toy"
    shutil.rmtree(runs, ignore_errors=True)
    earlier = _STAGES[: _STAGES.index(stage)]
    for name in earlier:
        shutil.copytree(theirs / name, runs / "toy" / name)
    # At least what a lock takes, so that it is the stage that fails, and less than its files take, by whole pages.
    sizes = [file.stat().st_size for file in (theirs / stage).rglob("*") if file.is_file()]
    ballast = _fill(place, min(_LOCK + int(share * 0.9 * sum(sizes)), sum(-(-size // _PAGE) * _PAGE for size in sizes) - _PAGE))
    faults = _full(_command(toy, stage, runs))
    if (runs / "toy" / stage).exists():
        faults.append("a stage stands that was not finished")
    faults += [f"{path.name} was left behind" for path in (runs / "toy").iterdir() if path.name.startswith(f".{stage}.")]
    faults += [f"{name} is another" for name in earlier if {*said(runs / "toy" / name)} != {*said(theirs / name)}]
    ballast.unlink()
    status, told = _command(toy, stage, runs)
    if status:
        return [*faults, f"with room, the same command ends with {status}: {told[-300:]}"]
    ours, whole = said(runs / "toy" / stage), said(theirs / stage)
    return faults + [f"{name} is another afterwards" for name in sorted({*ours, *whole}) if ours.get(name) != whole.get(name)]


def _command(toy: str, stage: str, runs: Path) -> tuple[int, str]:
    """(Exit status, what was said) of `score-rag run TOY --only STAGE`."""
    from benchmarks.stress import ROOT

    words = [sys.executable, "-m", "score_rag.cli", "run", toy, "--only", stage, "--set", f"runs={runs}"]
    told = subprocess.run(words, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"})
    return told.returncode, told.stderr + told.stdout


def _full(outcome: tuple[int, str]) -> list[str]:
    status, told = outcome
    wrong = [] if status == 1 else [f"exit status {status}"]
    if len(re.findall("the disk is full", told)) != 1:
        wrong.append(f"it does not say once that the disk is full: {told[-400:]}")
    return wrong + (["a traceback"] if "Traceback" in told else [])


def _index_and_log(folder: Path, place: Path) -> list[str]:
    """An index and a log that have stood before: they stand as they were."""
    from score_rag.errors import DataError
    from score_rag.feedback.log import FeedbackLog
    from score_rag.feedback.record import Feedback
    from score_rag.index.reader import BehaviourIndex, documents_of
    from score_rag.index.writer import build_index, update_index
    from score_rag.testing import WordEncoder

    def people(news: int) -> dict[str, str]:
        return {str(n): f"Liked: film{n} round{news}." for n in range(400)}

    log = FeedbackLog(folder / "log")
    many = [Feedback(f"e{n}", "u", f"i{n}", True, n) for n in range(2000)]
    build_index(documents_of(people(0)), WordEncoder(), folder / "index")
    log.append(many[:10])
    faults, before = [], BehaviourIndex.open(folder / "index", WordEncoder())
    ballast = _fill(place, 40_000)
    for name, work in (
        ("index", lambda: update_index(folder / "index", WordEncoder(), documents_of(people(1)))),
        ("log", lambda: log.append(many)),
    ):
        try:
            work()
            faults.append(f"{name}: there was room")
        except DataError as error:
            if error.what != "the disk is full":
                faults.append(f"{name}: {error.what}")
    if [one.event_id for one in FeedbackLog(folder / "log").current()] != [f"e{n}" for n in range(10)]:
        faults.append("log: it is not as it was")
    if not BehaviourIndex.open(folder / "index", WordEncoder()).documents.equals(before.documents):
        faults.append("index: it is not as it was")
    ballast.unlink()
    update_index(folder / "index", WordEncoder(), documents_of(people(1)))
    log.append(many)
    texts = set(BehaviourIndex.open(folder / "index", WordEncoder()).documents["text"])
    return faults + ([] if texts == {*people(1).values()} and len(log.current()) == 2000 else ["with room they do not go on"])
