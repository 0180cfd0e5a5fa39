"""The assessments of a run's reranker as a job of its own: what it would cost, doing it, and how far it has come.

The job writes to the run's scratch folder, where the reranker stage looks before it asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from score_rag.errors import RunStage, StageError
from score_rag.files import folder_lock
from score_rag.pipeline.config import Pipeline
from score_rag.pipeline.run import Run
from score_rag.pipeline.state import run_folder
from score_rag.progress import Report, silent
from score_rag.prompts import Prompt, find_prompt
from score_rag.reranker.settings import AssessmentSettings
from score_rag.reranker.spend import Limits, Spend

if TYPE_CHECKING:
    from score_rag.data.interactions import Interactions
    from score_rag.reranker.assessment import AssessmentRequest

__all__ = ["AssessmentJob", "Estimate", "Progress", "assess_run", "job_of", "open_job"]

_NO_LIMITS = Limits()


@dataclass(frozen=True)
class Estimate:
    """What a job would take, if every question is answered at once.

    Attributes:
        calls: Questions without an answer.
        kept: Questions with one.
        prompt_tokens: Of all calls.
        completion_tokens: Of all calls, at most.
        cost: USD at most; None where no price is known.
    """

    assessor: str
    calls: int
    kept: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None


@dataclass(frozen=True)
class Progress:
    """How far a job has come.

    Attributes:
        failed: Questions that failed when they were last asked, by outcome.
        waiting: Questions without an answer, those that failed among them.
        in_batch: Questions in a batch that is under way.
        spend: On these questions.
    """

    assessor: str
    questions: int
    answered: int
    waiting: int
    failed: dict[str, int]
    in_batch: int
    spend: Spend
    file: Path

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "file": str(self.file)}


@dataclass(frozen=True)
class AssessmentJob:
    """The questions of a run's reranker, and where their answers are kept."""

    requests: Sequence[AssessmentRequest]
    settings: AssessmentSettings
    prompt: Prompt
    out: Path
    interactions: Interactions

    @property
    def keys(self) -> list[str]:
        """The key of each question, in order."""
        from score_rag.reranker.answers import answer_key

        return [answer_key(request, self.prompt, self.settings) for request in self.requests]

    def calls(self) -> int:
        """Questions that would be asked."""
        from score_rag.reranker.assess import planned_calls

        return planned_calls(self.requests, self.settings, prompt=self.prompt, out=self.out)

    def estimate(self, *, batch: bool = False) -> Estimate:
        """What asking them would take. Nothing is asked.

        Args:
            batch: By the provider's batch endpoints, at their price.

        Raises:
            AssessorError: The model's provider is not known.
        """
        from score_rag.reranker.assess import read_answers, unanswered
        from score_rag.reranker.assessment import messages
        from score_rag.reranker.batch_model import BatchModel
        from score_rag.reranker.forms import Ladder
        from score_rag.reranker.language_model import LanguageModel
        from score_rag.reranker.offline import OFFLINE_MODEL
        from score_rag.reranker.spend import Usage

        settings = self.settings
        places = unanswered(self.keys, read_answers(self.out))
        most: list[Usage] = []
        if settings.assessor != OFFLINE_MODEL and places:
            model, form = (BatchModel if batch else LanguageModel)(settings), Ladder(settings.assessor, settings.api_base).start()
            most = [model.most(messages(self.requests[place], self.prompt), form) for place in places]
        prices = [one.cost for one in most if one.cost is not None]
        prompt, completion = sum(one.prompt_tokens for one in most), sum(one.completion_tokens for one in most)
        cost = sum(prices) if len(prices) == len(most) else None
        return Estimate(settings.assessor, len(places), len(set(self.keys)) - len(places), prompt, completion, cost)

    def run(self, *, limits: Limits = _NO_LIMITS, batch: bool = False, report: Report = silent) -> None:
        """Ask; see `score_rag.reranker.assess.assess` and, for batches, `score_rag.reranker.batch.assess_in_batches`."""
        from score_rag.reranker.assess import assess
        from score_rag.reranker.offline import OFFLINE_MODEL, OfflineAssessor

        if batch and self.settings.assessor != OFFLINE_MODEL:
            from score_rag.reranker.batch import assess_in_batches

            assess_in_batches(self.requests, self.settings, prompt=self.prompt, out=self.out, limits=limits, report=report)
            return
        ask = OfflineAssessor(self.interactions).ask if self.settings.assessor == OFFLINE_MODEL else None
        assess(self.requests, self.settings, prompt=self.prompt, out=self.out, ask=ask, limits=limits, report=report)

    def progress(self) -> Progress:
        """How far it has come."""
        from score_rag.reranker.answers import errors_path, read_answers, read_failures
        from score_rag.reranker.batch_state import PendingBatch, batch_path
        from score_rag.reranker.spend import journal_path, read_spend

        keys = set(self.keys)
        answered = keys & read_answers(self.out).keys()
        failures = {key: row for key, row in read_failures(errors_path(self.out)).items() if key in keys - answered}
        outcomes = dict(sorted(Counter(row["outcome"] for row in failures.values()).items()))
        spend = read_spend(journal_path(self.out), keys)
        pending = PendingBatch.read(batch_path(self.out))
        in_batch = len({row.key for row in pending.rows} & keys) if pending is not None else 0
        return Progress(self.settings.assessor, len(keys), len(answered), len(keys) - len(answered), outcomes, in_batch, spend, self.out)


def job_of(run: Run, prompt: Prompt, scratch: Path) -> AssessmentJob:
    """The job of a run whose data and documents are finished."""
    from score_rag.reranker.examples import sample_requests

    pipeline, settings = run.pipeline, run.pipeline.reranker
    requests = sample_requests(run.interactions, run.describer, settings.pairs, history=pipeline.data.history, seed=pipeline.seed)
    return AssessmentJob(requests, settings, prompt, scratch / "assessments.jsonl", run.interactions)


def open_job(pipeline: Pipeline) -> AssessmentJob:
    """The job of a pipeline's run.

    Raises:
        StageError: Its data or documents are not up to date, so that other questions would be asked than the reranker's.
    """
    from score_rag.pipeline.stages import stages
    from score_rag.pipeline.state import status

    for known in status(pipeline, stages(pipeline)):
        if known.name in ("data", "documents") and known.state != "finished":
            why = f" ({known.reason})" if known.reason else ""
            error = StageError(f"assessing needs the stage {known.name!r}, which is {known.state}{why}", remedy=RunStage("documents"))
            error.pipeline = pipeline.words
            raise error
    return job_of(Run.open(pipeline), find_prompt(pipeline.reranker.assess_prompt), run_folder(pipeline) / "scratch")


def assess_run(pipeline: Pipeline, *, limits: Limits = _NO_LIMITS, batch: bool = False, report: Report = silent) -> Progress:
    """Do the job of a pipeline's run.

    Raises:
        LockedError: Another process is writing to the same run.
        StageError: As `open_job`.
        AssessorError: As `score_rag.reranker.assess.assess`.
    """
    with folder_lock(run_folder(pipeline), doing=f"assessing for the pipeline {pipeline.name}"):
        job = open_job(pipeline)
        job.run(limits=limits, batch=batch, report=report)
        return job.progress()
