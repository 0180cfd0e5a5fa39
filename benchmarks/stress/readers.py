"""One writer and eight readers of an index and a feedback log: nobody reads half of anything, a second writer is refused at once."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.stress.processes import context
from benchmarks.stress.result import Result

__all__ = ["REFUSED_WITHIN", "readers"]

REFUSED_WITHIN = 100.0
"""Milliseconds in which a second writer should know."""
_USERS = 60
_LEAST = 1
"""Generations that are written, however long that takes."""


def readers(minutes: float, seed: int, *, count: int = 8) -> Result:
    """Write and read for so many minutes."""
    result, source = Result("readers"), context(heavy=False)
    told: multiprocessing.Queue[Any] = source.Queue()
    with tempfile.TemporaryDirectory(prefix="score-rag-readers-") as place:
        folder = Path(place)
        _write_once(folder / "index", 0)
        # Time begins when all are ready, and ends when the writer has ended.
        stage = Stage(source.Barrier(count + 2), source.Event(), minutes)
        roles = [(_writer, ()), (_second, ()), *((_reader, (number,)) for number in range(count))]
        running = [source.Process(target=_told, args=(told, role, folder, stage, *more), daemon=True) for role, more in roles]
        for process in running:
            process.start()
        said = [told.get(timeout=60 * minutes + 300) for _ in running]
        for process in running:
            process.join(30)
    for role, found, faults in said:
        for fault in faults:
            result.fault(f"{role}: {fault}")
        for name, value in found.items():
            if isinstance(value, list):
                result.facts.setdefault(name, []).extend(value)
            else:
                result.counts[name] += value
    refused = sorted(result.facts.pop("refused", []))
    result.done = result.counts["reads"]
    if refused:
        result.facts |= {"refused_ms_median": round(median(refused), 2), "refused_ms_largest": round(refused[-1], 2)}
        if median(refused) > REFUSED_WITHIN:
            result.fault(f"a second writer was refused after {median(refused):.0f} ms")
    if not (refused and result.counts["generations_read"] >= count and result.counts["writes"]):
        result.fault(f"too little was seen to say anything: {dict(result.counts)}, {len(refused)} refusals")
    return result.ended()


@dataclass
class Stage:
    """When all begin and end."""

    ready: Any
    over: Any
    minutes: float


def _told(queue: Any, role: Any, folder: Path, stage: Stage, *more: Any) -> None:
    import traceback

    found: dict[str, Any] = {}
    faults: list[str] = []
    try:
        role(folder, stage, found, faults, *more)
    except BaseException:  # noqa: BLE001  # whatever it is, it is told
        faults.append(traceback.format_exc(limit=-4))
        stage.over.set()
    queue.put((role.__name__, found, faults))


def _write_once(folder: Path, number: int) -> None:
    from score_rag.index.reader import documents_of
    from score_rag.index.writer import build_index, update_index
    from score_rag.testing import WordEncoder

    documents = documents_of({f"{n:02}": f"Liked: film{n} film{n * 7 % 10} round{number}." for n in range(_USERS)})
    if number:
        update_index(folder, WordEncoder(), documents)
    else:
        build_index(documents, WordEncoder(), folder)


def _writer(folder: Path, stage: Stage, found: dict[str, Any], faults: list[str]) -> None:
    """A new generation after the other, and a judgement that tells of it."""
    from score_rag.errors import LockedError
    from score_rag.feedback.log import FeedbackLog
    from score_rag.feedback.record import Feedback

    log, number = FeedbackLog(folder / "log"), 0
    found |= {"writes": 0, "judgements": 0, "turns_not_had": 0}
    stage.ready.wait(300)
    end = time.time() + 60 * stage.minutes
    while not stage.over.is_set() and (time.time() < end or found["writes"] < _LEAST):
        try:
            _write_once(folder / "index", number + 1)
        except LockedError:
            # The second writer was quicker.
            found["turns_not_had"] += 1
            continue
        number += 1
        log.append([Feedback(f"e{number}-{n}", f"u{n}", f"i{number}", True, number) for n in range(20)])
        if number % 7 == 0:
            log.compact()
        found["writes"] += 1
        found["judgements"] += 20
    stage.over.set()


def _second(folder: Path, stage: Stage, found: dict[str, Any], faults: list[str]) -> None:
    """Somebody else who wants to write, and asks again and again; where it is its turn, it writes nothing."""
    from score_rag.errors import LockedError
    from score_rag.files import folder_lock

    found |= {"refused": [], "asked_to_write": 0}
    stage.ready.wait(300)
    while not stage.over.is_set():
        begun = time.perf_counter()
        found["asked_to_write"] += 1
        try:
            with folder_lock(folder / "index", doing="nothing"):
                pass
        except LockedError:
            found["refused"].append(1000 * (time.perf_counter() - begun))
        time.sleep(0.05)


def _reader(folder: Path, stage: Stage, found: dict[str, Any], faults: list[str], number: int) -> None:
    """Every answer is of one round, never of an earlier one than the last; judgements come whole and in order."""
    from score_rag.feedback.log import FeedbackLog
    from score_rag.index.reader import BehaviourIndex
    from score_rag.testing import WordEncoder

    found |= {"reads": 0, "generations_read": 0}
    index, last, log = BehaviourIndex.open(folder / "index", WordEncoder()), -1, FeedbackLog(folder / "log")
    # Half of them ask the store, half the array.
    index.exact_below = 0 if number % 2 else index.exact_below
    seen: set[int] = set()
    stage.ready.wait(300)
    while not stage.over.is_set():
        index = index.current() if found["reads"] % 20 else BehaviourIndex.open(folder / "index", WordEncoder())
        hits = index.query(index.vectors[found["reads"] % _USERS], 10)
        rounds = {int(hit.text.rpartition("round")[2].rstrip(".")) for hit in hits}
        if len(hits) != 10 or len(rounds) != 1 or not all(hit.text.startswith(f"Liked: film{int(hit.user_id)} ") for hit in hits):
            faults.append(f"{len(hits)} users of rounds {sorted(rounds)} in one answer")
        elif min(rounds) < last:
            faults.append(f"round {min(rounds)} after round {last}")
        last = max([last, *rounds])
        seen |= rounds
        judged = [one.event_id for one in log.current()]
        whole = [f"e{n + 1}-{m}" for n in range(len(judged) // 20) for m in range(20)]
        if judged != whole or log.damaged:
            faults.append(f"{len(judged)} judgements, {log.damaged} damaged lines: not whole rounds in order")
        found["reads"] += 1
        time.sleep(0.01)
        if len(faults) > 5:
            break
    found["generations_read"] = len(seen)
