"""What is killed: each can be prepared, worked, looked at after a kill, and compared with what no kill came to."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

from benchmarks.stress.toy import toy_at

__all__ = ["AssessmentJob", "FeedbackWriter", "IndexWriter", "StageTarget", "Target"]


class Target:
    """Work that may be killed; all its methods are called in processes of their own."""

    name: str
    seconds: float | None = None
    """What it takes where nobody kills it; None where that is to be measured first."""

    def prepare(self, folder: Path) -> None:
        """Make what the work finds."""

    def work(self, folder: Path) -> None:
        """Do it, or go on with it."""
        raise NotImplementedError

    def between(self, folder: Path) -> list[str]:
        """What is wrong right after a kill."""
        return []

    def compare(self, folder: Path, whole: Path) -> list[str]:
        """What is wrong with the finished work, beside the work that nobody killed."""
        raise NotImplementedError

    def forget(self, folder: Path) -> None:
        shutil.rmtree(folder)


class StageTarget(Target):
    """One stage of a run, on a copy of a run that has the stages before it."""

    def __init__(self, toy: str, stage: str) -> None:
        self.toy, self.stage, self.name = toy, stage, f"run {stage}"
        # The toy run is what was not killed.
        self._whole = Path(toy).parent / "runs" / "toy" / stage
        self.seconds = float(json.loads((self._whole / "finished.json").read_text())["seconds"])

    def prepare(self, folder: Path) -> None:
        from run_copies import copy_run

        later = ("data", "crm", "documents", "retriever", "reranker", "predictor")
        leave = later[later.index(self.stage) :]
        copy_run(Path(self.toy).parent / "runs", folder, leave=(*leave, "scratch"))

    def work(self, folder: Path) -> None:
        from score_rag.pipeline.runner import run
        from score_rag.pipeline.stages import stages

        pipeline = toy_at(self.toy, folder)
        run(pipeline, stages(pipeline), only=self.stage)

    def between(self, folder: Path) -> list[str]:
        """A stage is finished and whole, or it is not there."""
        from score_rag.pipeline.stages import stages
        from score_rag.pipeline.state import judge

        pipeline = toy_at(self.toy, folder)
        stage = next(one for one in stages(pipeline) if one.name == self.stage)
        state, why = judge(pipeline, stage)
        return [] if state in ("finished", "missing") else [f"it is {state}: {why}"]

    def compare(self, folder: Path, whole: Path) -> list[str]:
        from run_copies import said

        ours, theirs = said(folder / "toy" / self.stage), said(self._whole)
        names = [name for name in sorted({*ours, *theirs}) if ours.get(name) != theirs.get(name)]
        left = [path.name for path in (folder / "toy").iterdir() if path.name.endswith(".tmp")]
        return [f"{name} is another" for name in names] + [f"{name} was left behind" for name in left] + ([] if ours else ["it is empty"])


class IndexWriter(Target):
    """An update of an index in which every user has news."""

    name = "index writer"

    def prepare(self, folder: Path) -> None:
        from score_rag.index.reader import documents_of
        from score_rag.index.writer import build_index
        from score_rag.testing import WordEncoder

        build_index(documents_of(self._people(0)), WordEncoder(), folder)

    def work(self, folder: Path) -> None:
        from score_rag.index.reader import documents_of
        from score_rag.index.writer import update_index
        from score_rag.testing import WordEncoder

        update_index(folder, WordEncoder(), documents_of(self._people(1)))

    def between(self, folder: Path) -> list[str]:
        texts = self._texts(folder)
        return (
            [] if texts in ([*self._people(0).values()], [*self._people(1).values()]) else ["it is neither the old index nor the new one"]
        )

    def compare(self, folder: Path, whole: Path) -> list[str]:
        import numpy as np

        from score_rag.index.check import check_index
        from score_rag.index.reader import BehaviourIndex
        from score_rag.testing import WordEncoder

        ours, theirs = (BehaviourIndex.open(place, WordEncoder()) for place in (folder, whole))
        wrong = [] if ours.documents.equals(theirs.documents) else ["other documents"]
        wrong += [] if np.array_equal(ours.vectors, theirs.vectors) else ["other vectors"]
        return wrong + [finding.told for finding in check_index(folder, WordEncoder()) if not finding.ok]

    @staticmethod
    def _people(news: int) -> dict[str, str]:
        return {f"{n:02}": f"Liked: film{n} film{n * 7 % 10} round{news}." for n in range(40)}

    @staticmethod
    def _texts(folder: Path) -> list[str]:
        from score_rag.index.reader import BehaviourIndex
        from score_rag.testing import WordEncoder

        index = BehaviourIndex.open(folder, WordEncoder())
        found = {hit.user_id: hit.text for hit in index.query(index.vectors[0], 40)}
        return [found[user] for user in sorted(found)]


class FeedbackWriter(Target):
    """Judgements that are acknowledged one by one; every tenth time the log is written anew."""

    name = "feedback writer"
    count = 120

    def prepare(self, folder: Path) -> None:
        folder.mkdir(parents=True)

    def work(self, folder: Path) -> None:
        from score_rag.feedback.log import FeedbackLog

        log = FeedbackLog(folder / "log")
        handle = os.open(folder / "acknowledged", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        for number in range(self.count):
            log.append([self._one(number)])
            os.write(handle, f"{number}\n".encode())
            if number % 10 == 9:
                log.compact()

    def between(self, folder: Path) -> list[str]:
        from score_rag.feedback.log import FeedbackLog

        log, file = FeedbackLog(folder / "log"), folder / "acknowledged"
        there = {one.event_id: one for one in log.current()}
        lost = [n for n in (file.read_text().split() if file.is_file() else []) if f"e{n}" not in there]
        wrong = [name for name, one in there.items() if not self._is(one)]
        told = [f"acknowledged and lost: {', '.join(lost)}"] if lost else []
        return told + ([f"other than written: {wrong}"] if wrong else []) + ([f"{log.damaged} damaged lines"] if log.damaged else [])

    def compare(self, folder: Path, whole: Path) -> list[str]:
        from score_rag.feedback.log import FeedbackLog

        ours, theirs = ([(one.event_id, one.key, one.liked) for one in FeedbackLog(place / "log").current()] for place in (folder, whole))
        return self.between(folder) + ([] if ours == theirs and len(ours) == self.count else ["other judgements"])

    @staticmethod
    def _one(number: int):
        from score_rag.feedback.record import Feedback

        return Feedback(f"e{number}", f"u{number % 7}", f"i{number}", number % 3 == 0, 1_700_000_000 + number)

    def _is(self, one) -> bool:
        return (one.key, one.liked) == ((expected := self._one(int(one.event_id[1:]))).key, expected.liked)


class AssessmentJob(Target):
    """Sixty questions to an assessor that takes its time; each answer is written down when it has come."""

    name = "assessment job"
    count = 60

    def prepare(self, folder: Path) -> None:
        folder.mkdir(parents=True)

    def work(self, folder: Path) -> None:
        self._found(folder)

    def between(self, folder: Path) -> list[str]:
        """Whole lines only tell what was asked; half a line is the killed writer's."""
        from score_rag.reranker.answers import read_rows

        rows = read_rows(folder / "assessments.jsonl")
        return [f"{row['user_id']} has another's answer" for row, one in rows.values() if one.characteristics[0] != f"of {row['user_id']}"]

    def compare(self, folder: Path, whole: Path) -> list[str]:
        asked = (folder / "asked").read_text().split()
        ours, theirs = self._found(folder), self._found(whole)
        again = (folder / "asked").read_text().split()
        told = [] if ours == theirs and None not in ours else ["other answers"]
        return told + ([] if again == asked else ["what is answered was asked again"])

    def _found(self, folder: Path):
        from score_rag.data.log import Event
        from score_rag.prompts import find_prompt
        from score_rag.reranker.assess import AssessmentRequest, assess
        from score_rag.reranker.settings import AssessmentSettings

        handle = os.open(folder / "asked", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

        def ask(conversation, request) -> str:
            os.write(handle, f"{request.user_id}\n".encode())
            time.sleep(0.01)
            return json.dumps({"characteristics": [f"of {request.user_id}", "likes films"], "reason": "because"})

        requests = [AssessmentRequest(Event(f"u{n}", "i", True, n), f"Liked: Film {n}.", "Heat (1995).") for n in range(self.count)]
        settings = AssessmentSettings(concurrency=4)
        return assess(requests, settings, prompt=find_prompt("assess"), out=folder / "assessments.jsonl", ask=ask)
