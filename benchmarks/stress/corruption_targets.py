"""What is damaged, and what opens it: each says what it found, raises an error of ours, or `Unnoticed`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.stress.corruption_progress import Answers, Checkpoint, Feedback
from benchmarks.stress.corruption_target import Target, Unnoticed
from benchmarks.stress.toy import toy_at

__all__ = ["TARGETS", "Target", "Unnoticed"]


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
