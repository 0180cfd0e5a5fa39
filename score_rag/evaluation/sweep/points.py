"""One point of a sweep: what of it must be trained, in which run folder, and how the run is asked then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from score_rag.context.finder import RetrievedContext
from score_rag.data.log import Event
from score_rag.evaluation.ablate.cost import Cost, metered
from score_rag.evaluation.ablate.results import Result
from score_rag.evaluation.sweep.space import assignments
from score_rag.files import digest_json
from score_rag.pipeline.adopt import adopt
from score_rag.pipeline.config import Pipeline, load_pipeline
from score_rag.pipeline.readers import all_settings
from score_rag.pipeline.run import Run
from score_rag.pipeline.runner import run as run_stages
from score_rag.pipeline.stages import stages
from score_rag.pipeline.state import run_folder
from score_rag.progress import Report, silent

if TYPE_CHECKING:
    from score_rag.reranker.pair_texts import PairTexts
    from score_rag.reranker.scorer import Scorer

__all__ = ["Point", "Trained", "folder_of", "make_point"]

_SHARED = ("interactions", "histories", "crm", "describer", "encoder", "index", "judges", "experts", "writer", "predictor")


@dataclass(frozen=True)
class Point:
    """Values of settings.

    Attributes:
        values: By setting.
        pipeline: With all of them: how the run is asked.
        trained: With those alone that something must be trained for: whose run is asked.
        ran: Whether `trained` is a run of its own, beside the pipeline's.
    """

    values: Mapping[str, Any]
    pipeline: Pipeline
    trained: Pipeline
    ran: bool


def make_point(base: Pipeline, name: str, overrides: Sequence[str], values: Mapping[str, Any], *, retrain: bool) -> Point:
    """A point, checked.

    Args:
        base: The pipeline as it is.
        name: As it was typed.
        overrides: Of all points.
        retrain: Whether settings of serving count as such that are trained with, where later stages learn from what they change.

    Raises:
        ConfigError: A setting or a value is wrong.
    """
    pipeline = load_pipeline(name, overrides=[*overrides, *assignments(values)])
    kinds = {setting.name: setting for setting in all_settings(pipeline)}

    def serves(setting: str) -> bool:
        found = [kind for key, kind in kinds.items() if key == setting or key.startswith(f"{setting}.")]
        return bool(found) and all(kind.kind in ("serving", "location") and not (retrain and kind.readers) for kind in found)

    learned = {key: value for key, value in values.items() if not serves(key)}
    if not learned:
        return Point(values, pipeline, base, False)
    own = run_folder(base) / "sweep"
    trained = load_pipeline(name, overrides=[*overrides, *assignments(learned)])
    settings = {"name": digest_json(learned)[:12], "runs": str(own.absolute())}
    return Point(values, pipeline.model_copy(update=settings), trained.model_copy(update=settings), True)


class Trained:
    """A run of a sweep, opened once for all points that only ask it otherwise.

    Args:
        point: One of them.
        base: The pipeline as it is, whose finished stages are taken over where they are the same.
    """

    def __init__(self, point: Point, base: Pipeline, *, report: Report = silent) -> None:
        self.seconds = 0.0
        if point.ran:
            others = sorted(folder for folder in (run_folder(base) / "sweep").glob("*") if folder.name != point.trained.name)
            adopt(point.trained, stages(point.trained), [run_folder(base), *others])
            for status in run_stages(point.trained, stages(point.trained), report=report):
                self.seconds += status.seconds or 0.0 if status.action == "ran" else 0.0
        self.run = Run.open(point.trained, stages=("data", "crm", "documents", "retriever", "reranker", "predictor"))
        self.scorer = _Remembering(self.run.scorer)

    def ask(self, point: Point, events: Sequence[Event], *, report: Report = silent) -> Result:
        """P(like) of events, asked as the point says."""
        run = Run(point.pipeline, self.run.folder)
        run.__dict__ |= {name: getattr(self.run, name) for name in _SHARED}
        if run.pipeline.predictor != self.run.pipeline.predictor:
            # How many events are told, which engine scores: opened anew.
            run = Run(point.pipeline, self.run.folder)
        with metered() as meter:
            with meter.time("find"):
                finder = run.make_finder(self.scorer)
                questions = finder.questions(events)
                tells = run.writer.builder.tells_neighbours
                contexts = finder.find(questions, report=report) if tells else [RetrievedContext()] * len(questions)
                texts = [told.text for told in run.writer.write(questions, contexts)]
            with meter.time("ask"):
                answers = run.predictor.score(texts, report=report)
        tokens = float(np.mean([run.predictor.count_tokens(text) for text in texts]))
        find, ask = (round(meter.seconds[name], 3) for name in ("find", "ask"))
        cost = Cost(round(self.seconds, 1), find, ask, round(tokens, 2), meter.memory, meter.gpu_memory)
        return Result(np.array([answer.probability for answer in answers]), cost)


class _Remembering:
    """A scorer that computes each pair once: the ten most alike users are among the fifteen."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        self._known: dict[tuple[str, str], float] = {}

    @property
    def texts(self) -> PairTexts:
        return self.scorer.texts

    def score_pairs(self, queries: Sequence[str], behaviours: Sequence[str], *, report: Report = silent) -> np.ndarray:
        pairs = list(zip(queries, behaviours, strict=True))
        new = list(dict.fromkeys(pair for pair in pairs if pair not in self._known))
        if new:
            scores = self.scorer.score_pairs([query for query, _ in new], [behaviour for _, behaviour in new], report=report)
            self._known.update(zip(new, map(float, scores), strict=True))
        return np.array([self._known[pair] for pair in pairs], dtype=np.float32)


def folder_of(base: Pipeline, point: Point, table: str) -> Path:
    """Where a point's scores are kept."""
    return run_folder(base) / "sweep" / "points" / digest_json(dict(point.values))[:16] / table
