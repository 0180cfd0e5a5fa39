"""What work in progress is kept in: the feedback log, an assessor's answers, a training's checkpoint."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.stress.corruption_target import Target, Unnoticed

__all__ = ["Answers", "Checkpoint", "Feedback"]


class Feedback(Target):
    """A log of judgements: damaged lines are counted and left out. A lost end cannot be told from one that was never written."""

    weight = 4

    def prepare(self, place: Path, toy: str | None) -> None:
        from score_rag.feedback.log import FeedbackLog
        from score_rag.feedback.record import Feedback as Judgement

        log = FeedbackLog(place)
        if not log.path.exists():
            log.append([Judgement(f"e{n}", f"u{n % 5}", f"i{n}", n % 2 == 0, 1_700_000_000 + n) for n in range(30)])
        self.right = {one.event_id: (one.key, one.liked) for one in FeedbackLog(place).current()}

    def files(self, place: Path) -> list[Path]:
        return [place / "log.jsonl"]

    def open(self, place: Path, file: Path) -> str:
        from score_rag.feedback.log import FeedbackLog

        log = FeedbackLog(place)
        there = {one.event_id: (one.key, one.liked) for one in log.current()}
        wrong = [name for name, said in there.items() if self.right.get(name) != said]
        if wrong:
            raise Unnoticed(f"other judgements: {wrong[:3]}")
        lost_end = list(there) == list(self.right)[: len(there)]
        if len(there) < len(self.right) and not log.damaged and not lost_end:
            raise Unnoticed("judgements are missing and no line is damaged")
        return "damaged lines left out" if log.damaged else "the same judgements" if len(there) == len(self.right) else "a lost end"


class Answers(Target):
    """Kept answers of an assessor: each was paid for."""

    weight = 3

    def prepare(self, place: Path, toy: str | None) -> None:
        from benchmarks.stress.kill_targets import AssessmentJob
        from score_rag.reranker.answers import read_answers

        if not (place / "assessments.jsonl").exists():
            AssessmentJob().work(place)
        self.right = read_answers(place / "assessments.jsonl")

    def files(self, place: Path) -> list[Path]:
        return [place / "assessments.jsonl"]

    def open(self, place: Path, file: Path) -> str:
        from score_rag.reranker.answers import read_answers

        there = read_answers(file)
        wrong = [key for key, one in there.items() if self.right.get(key) != one]
        if wrong:
            raise Unnoticed(f"other answers: {len(wrong)}")
        return "the same answers" if len(there) == len(self.right) else "what is lost is asked again"


class Checkpoint(Target):
    """What a killed training of a recommender goes on from; it ends as if nothing had been, or begins again and does."""

    weight, cost = 1, 20

    def prepare(self, place: Path, toy: str | None) -> None:
        import numpy as np

        if not (place / "kept").exists():
            with suppress(InterruptedError):
                self._fit(place / "kept", stop=2)
        self.right = self._fit(None)
        assert all(np.isfinite(one).all() for one in self.right.values())

    def open(self, place: Path, file: Path) -> str:
        import shutil

        import numpy as np

        copy = place.with_name(f"{place.name}-copy")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(place / "kept", copy)
        found = self._fit(copy)
        if not all(np.array_equal(found[name], self.right[name]) for name in self.right):
            raise Unnoticed("other weights")
        return "the same weights"

    def _fit(self, folder: Path | None, stop: int = 0) -> dict[str, Any]:
        from score_rag.crm.mf import MF

        def report(what: str, done: int, total: int) -> None:
            if done == stop:
                raise InterruptedError

        fitted = MF(dim=8).fit(_world(), epochs=4, patience=4, batch_size=64, seed=5, device="cpu", checkpoint=folder, report=report)
        return dict(fitted._tensors())


@cache
def _world() -> Any:
    from score_rag.testing import toy_world

    return toy_world(users=12, items=12, events=8)
