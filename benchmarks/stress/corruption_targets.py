"""What is damaged, and what opens it: each says what it found, raises an error of ours, or `Unnoticed`."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.stress.toy import toy_at

__all__ = ["TARGETS", "Target", "Unnoticed"]


class Unnoticed(Exception):
    """It answered, and otherwise than before."""


class Target:
    """Files of one kind.

    Attributes:
        weight: How often it is drawn, beside the others.
        cost: How many small files cost what one of these does.
    """

    needs_toy = False
    weight = 1
    cost = 1

    def prepare(self, place: Path, toy: str | None) -> None:
        """Make the files where they are not there, and remember what is right; called in each process."""

    def files(self, place: Path) -> list[Path]:
        return sorted(file for file in place.rglob("*") if file.is_file() and not file.name.startswith("."))

    def open(self, place: Path, file: Path) -> str:
        raise NotImplementedError


class Stages(Target):
    """Every file of every finished stage, opened by what serves from it, and asked after by `run`."""

    needs_toy, weight = True, 12

    def prepare(self, place: Path, toy: str | None) -> None:
        from run_copies import copy_run

        from score_rag.files import read_json

        assert toy is not None
        if not (place / "toy").exists():
            copy_run(Path(toy).parent / "runs", place, leave=("scratch", "index", "feedback", "evaluation"))
        self.pipeline = toy_at(toy, place)
        self.records = {file: read_json(file) for file in place.rglob("finished.json")}

    def open(self, place: Path, file: Path) -> str:
        from score_rag.errors import ScoreError
        from score_rag.files import check_sealed, read_json
        from score_rag.pipeline.stages import stages
        from score_rag.pipeline.state import judge

        stage = file.relative_to(place / "toy").parts[0]
        served = True
        try:
            self._parts(stage)
        except ScoreError:
            served = False
        # Of a large stage reading all again takes a tenth of a second: `run` does, this in one case of twenty.
        if stage in ("data", "crm", "documents") or file.stat().st_size % 20 == 0:
            one = next(one for one in stages(self.pipeline) if one.name == stage)
            if judge(self.pipeline, one, inputs=False)[0] == "finished" and not (file.name == "finished.json" and served):
                raise Unnoticed("`run` takes the stage for finished")
        if not served:
            return "refused, made again by `run`"
        if file.name == "finished.json" and read_json(file) == self.records[file]:
            return "the same content"
        # Weights that are served in another form: whoever trains on reads them, and asks first.
        check_sealed(file)
        raise Unnoticed("it opens")

    def _parts(self, stage: str) -> None:
        from score_rag.pipeline.run import Run

        run = Run.open(self.pipeline)
        match stage:
            case "data":
                _ = run.interactions
            case "crm":
                _ = run.crm, run.crm_vectors, run.experts
            case "documents":
                _ = run.describer
            case "retriever":
                _ = run.encoder
            case "reranker":
                _ = run.scorer
            case _:
                _ = run.predictor, run.prompt, run.guard


class Index(Target):
    """An index of users' documents; its store's own files are Chroma's, and are a target of their own."""

    weight, cost = 4, 2

    def prepare(self, place: Path, toy: str | None) -> None:
        from score_rag.index.reader import documents_of
        from score_rag.index.writer import build_index
        from score_rag.testing import WordEncoder

        if not (place / "index.json").exists():
            build_index(documents_of({str(n): f"Liked: film{n} film{n * 7 % 10}." for n in range(50)}), WordEncoder(), place)
        self.right = self._hits(place)

    def files(self, place: Path) -> list[Path]:
        return [file for file in super().files(place) if "chroma" not in file.parts]

    def open(self, place: Path, file: Path) -> str:
        if self._hits(place) != self.right:
            raise Unnoticed("other users are found")
        return "the same answers"

    def _hits(self, place: Path) -> list[Any]:
        index = _opened(place)
        return [index.query(vector, 5) for vector in self._asked()]

    def _asked(self) -> Any:
        return _vectors("film3 film1", "film40", "Liked: film7 film9.")


class Store(Index):
    """Chroma's own files, whose ids are held to documents and vectors: it may find less, and nothing that is not so."""

    weight, cost = 1, 10

    def files(self, place: Path) -> list[Path]:
        return [file for file in Target.files(self, place) if "chroma" in file.parts and file.stat().st_size]

    def prepare(self, place: Path, toy: str | None) -> None:
        super().prepare(place, toy)
        index = _opened(place)
        self.texts = dict(index.documents.select("user_id", "text").iter_rows())

    def open(self, place: Path, file: Path) -> str:
        import shutil

        # Chroma keeps what it has opened by path, and writes to it: a copy of its own for each.
        copy = place.with_name(f"{place.name}-copy")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(place, copy)
        index = _opened(copy)
        index.exact_below = 0
        found = [index.query(vector, 5) for vector in self._asked()]
        for hits, vector in zip(found, self._asked(), strict=True):
            for hit in hits:
                place_of = index.documents["user_id"].to_list().index(hit.user_id)
                if hit.text != self.texts[hit.user_id] or abs(float(index.vectors[place_of] @ vector) - hit.score) > 1e-5:
                    raise Unnoticed(f"user {hit.user_id} is told wrongly")
        return "the same answers" if found == self.right else "true answers, not all of the nearest"


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


def _opened(place: Path) -> Any:
    from score_rag.index.reader import BehaviourIndex
    from score_rag.testing import WordEncoder

    return BehaviourIndex.open(place, WordEncoder())


@cache
def _vectors(*texts: str) -> Any:
    from score_rag.testing import WordEncoder

    return WordEncoder().encode(texts)


TARGETS: dict[str, Target] = {
    "stages": Stages(),
    "index": Index(),
    "store": Store(),
    "feedback": Feedback(),
    "answers": Answers(),
    "checkpoint": Checkpoint(),
}
