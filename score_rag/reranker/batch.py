"""Assessments by a provider's batch endpoints: all questions handed over in one file, at half the price, answered within a day.

Each row is reserved before the batch is handed over and settled when its answer is read; the batch is noted before it is made. So a job
that is killed at any moment finds its batch again, and no question is paid for twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from score_rag.errors import SpendLimitError
from score_rag.files.lines import drop_torn_line
from score_rag.progress import Report, silent
from score_rag.prompts import Prompt
from score_rag.reranker.answers import answer_key, errors_path, forget_failures, read_answers
from score_rag.reranker.assess import require_price, too_many_failed, unanswered
from score_rag.reranker.assessment import Assessment, AssessmentRequest
from score_rag.reranker.batch_model import BatchModel
from score_rag.reranker.batch_work import Batches
from score_rag.reranker.forms import Ladder
from score_rag.reranker.settings import AssessmentSettings
from score_rag.reranker.spend import Journal, Limits, journal_path

__all__ = ["assess_in_batches"]

_NO_LIMITS = Limits()


def assess_in_batches(
    requests: Sequence[AssessmentRequest],
    settings: AssessmentSettings,
    *,
    prompt: Prompt,
    out: Path,
    limits: Limits = _NO_LIMITS,
    report: Report = silent,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Assessment | None]:
    """`assess` by batches: a row is asked once; those that fail are asked by the next call of this or of `assess`.

    The first question is asked by itself, which finds the form of question that the model takes. A batch that an earlier call handed over
    is read first. What does not fit the limits is not handed over.

    Args:
        sleep: Waits between two looks at a batch.

    Raises:
        AssessorError: The model cannot be asked in batches, or more than `settings.max_failed` of the questions have no valid answer.
        SpendLimitError: A limit was reached. With either, every answer so far is kept.
        InputError: A limit on cost, and no price is known for the model.
    """
    keys = [answer_key(request, prompt, settings) for request in requests]
    by_key = dict(zip(keys, requests, strict=True))
    model = BatchModel(settings)
    out.parent.mkdir(parents=True, exist_ok=True)
    for file in (out, errors_path(out)):
        drop_torn_line(file)
    if unanswered(keys, read_answers(out)):
        require_price(model, limits)
    with Journal(journal_path(out), keys, limits) as journal:
        job = Batches(model, journal, prompt, out, by_key, report, sleep)
        tried = job.finish()
        stopped: SpendLimitError | None = None
        while stopped is None:
            answers = read_answers(out)
            left = [key for key in by_key if key not in answers and key not in tried]
            if not left:
                break
            forget_failures(errors_path(out), set(left))
            if not Ladder(settings.assessor, settings.api_base).answers:
                tried.add(left[0])
                job.ask_alone(left[0])
                continue
            stopped = job.hand_over(left)
            tried |= job.finish()
    answers = read_answers(out)
    failed = len(by_key.keys() & tried - answers.keys())
    if stopped is not None:
        stopped.hint = f"{len(by_key.keys() & answers.keys())} of {len(by_key)} answers are kept in {out}; {stopped.hint}"
        raise stopped
    if failed > settings.max_failed * len(by_key) + 1e-9:
        raise too_many_failed(failed, len(by_key), settings, out)
    report("asking for assessments", len(requests), len(requests))
    return [answers.get(key) for key in keys]
