"""Self-assessments: a language model is asked which behaviour of other users would help with a question (the paper's offline step).

Every answer is checked and kept at once, so a stopped job goes on where it was and the same question is never paid for twice. A question
without a valid answer is kept apart, with the reason, and the job goes on.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from score_rag.errors import AssessorError, ChangeSetting, InputError, SpendLimitError
from score_rag.files.lines import drop_torn_line
from score_rag.progress import Report, silent, with_detail
from score_rag.prompts import Prompt
from score_rag.reranker.answers import (
    answer_key,
    append_answer,
    append_failure,
    errors_path,
    forget_failures,
    read_answers,
    write_answers,
)
from score_rag.reranker.asking import Answered, Conversation
from score_rag.reranker.assessment import Assessment, AssessmentRequest
from score_rag.reranker.batch_state import PendingBatch, batch_path
from score_rag.reranker.language_model import Ask, CalledModel, LanguageModel, StandIn
from score_rag.reranker.settings import AssessmentSettings
from score_rag.reranker.spend import Journal, Limits, journal_path

__all__ = [
    "Assessment",
    "AssessmentRequest",
    "assess",
    "planned_calls",
    "read_answers",
    "require_no_batch",
    "require_price",
    "too_many_failed",
    "unanswered",
    "write_answers",
]

_DEFAULTS = AssessmentSettings()
_NO_LIMITS = Limits()


def assess(
    requests: Sequence[AssessmentRequest],
    settings: AssessmentSettings = _DEFAULTS,
    *,
    prompt: Prompt,
    out: Path,
    ask: Ask | None = None,
    limits: Limits = _NO_LIMITS,
    report: Report = silent,
) -> list[Assessment | None]:
    """Ask for every request that `out` has no answer to yet.

    Args:
        settings: Who is asked, and how.
        prompt: With the variables `history` and `target`.
        out: JSON lines; appended to, one flushed line an answer. A torn last line (of a killed run) is dropped. Beside it lie
            `*.errors.jsonl`, the questions without an answer, and `*.spend.jsonl`, what was reserved before each call and paid after.
        ask: Who answers in the model's place; None asks the model, by LiteLLM.
        limits: What the answers to these requests may cost in all, earlier runs included.

    Returns:
        One assessment a request, in order; None where there is no valid answer.

    Raises:
        AssessorError: The model cannot be asked, or more than `settings.max_failed` of the questions have no valid answer.
        SpendLimitError: A limit was reached. With either, every answer so far is kept.
        InputError: A limit on cost, and no price is known for the model.
    """
    keys = [answer_key(request, prompt, settings) for request in requests]
    answers = read_answers(out)
    places = unanswered(keys, answers)
    if places:
        model: CalledModel = LanguageModel(settings) if ask is None else StandIn(ask)
        require_price(model, limits)
        require_no_batch(out, {keys[place] for place in places})
        out.parent.mkdir(parents=True, exist_ok=True)
        for file in (out, errors_path(out)):
            drop_torn_line(file)
        forget_failures(errors_path(out), {keys[place] for place in places} | answers.keys())
        # Who stands in for a model costs nothing.
        journal = Journal(journal_path(out) if ask is None else None, keys, limits)
        with journal:
            job = _Job(Conversation(model, journal, prompt, settings), out, len(set(keys)), report)
            answers |= job.run({keys[place]: requests[place] for place in places})
    report("asking for assessments", len(requests), len(requests))
    return [answers.get(key) for key in keys]


def unanswered(keys: Sequence[str], answers: Collection[str]) -> list[int]:
    """The places of the questions that are to be asked: the first of each key without an answer."""
    first = {key: place for place, key in reversed(list(enumerate(keys)))}
    return sorted(place for key, place in first.items() if key not in answers)


def planned_calls(
    requests: Sequence[AssessmentRequest],
    settings: AssessmentSettings = _DEFAULTS,
    *,
    prompt: Prompt,
    out: Path,
) -> int:
    """How many of the requests `assess` would ask: those that have no answer yet."""
    return len(unanswered([answer_key(request, prompt, settings) for request in requests], read_answers(out)))


def require_price(model: CalledModel, limits: Limits) -> None:
    """A limit on cost can be kept.

    Raises:
        InputError: No price is known.
    """
    if limits.max_cost is not None and not model.priced:
        raise InputError(
            "a limit on cost needs a price, and none is known for this model",
            where="reranker.assessor",
            expected="a model in LiteLLM's list of prices",
            hint="limit calls or tokens",
        )


def require_no_batch(out: Path, keys: Collection[str]) -> None:
    """None of these questions is in a batch that is under way for the answers in `out`.

    Raises:
        AssessorError: Some are.
    """
    pending = PendingBatch.read(batch_path(out))
    if pending is not None and (waiting := sum(row.key in keys for row in pending.rows)):
        raise AssessorError(
            f"{waiting} of these questions are in a batch that is under way, and would be paid for twice",
            where=batch_path(out),
            hint="read the batch first: assess in batches, with the same settings",
        )


def too_many_failed(failed: int, questions: int, settings: AssessmentSettings, out: Path) -> AssessorError:
    """The error that says so."""
    return AssessorError(
        f"{failed} of {questions} questions got no valid answer from {settings.assessor!r}",
        where=errors_path(out),
        expected=f"at most {settings.max_failed:.0%} without one",
        found="a line each, with the reason and the replies",
        hint="to let more of them fail",
        remedy=ChangeSetting({"reranker.max_failed": min(1.0, round(settings.max_failed + 0.2, 2))}),
    )


class _Job:
    """Questions asked at once, their answers kept as they come.

    Args:
        questions: How many the job has in all, those that were answered before among them.
    """

    def __init__(self, talk: Conversation, out: Path, questions: int, report: Report) -> None:
        self._talk, self._out, self._questions, self._report = talk, out, questions, report
        self._keep = threading.Lock()
        self._answers: dict[str, Assessment] = {}
        self._failed = 0

    def run(self, requests: dict[str, AssessmentRequest]) -> dict[str, Assessment]:
        """The answers by key.

        Raises:
            AssessorError: As `assess`.
        """
        settings, done = self._talk.settings, self._questions - len(requests)
        queue = iter(requests.items())
        stopped: AssessorError | None = None
        with self._out.open("a", encoding="utf-8") as self._stream, ThreadPoolExecutor(max_workers=settings.concurrency) as pool:
            running: set[Future[None]] = set()
            try:
                while True:
                    while stopped is None and len(running) < settings.concurrency and (asked := next(queue, None)) is not None:
                        running.add(pool.submit(self._ask, *asked))
                    if not running:
                        break
                    finished, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in finished:
                        try:
                            future.result()
                        except AssessorError as error:
                            stopped = stopped or error
                    if stopped is None and self._failed > settings.max_failed * self._questions + 1e-9:
                        stopped = too_many_failed(self._failed, self._questions, settings, self._out)
                    # Where a limit was reached, what is in flight may still be paid and is waited for.
                    if stopped is not None and not isinstance(stopped, SpendLimitError):
                        self._talk.stop.set()
                    journal = self._talk.journal
                    told = "asking for assessments" if journal.path is None else with_detail("asking for assessments", str(journal.spend))
                    self._report(told, done + len(self._answers) + self._failed, self._questions)
            except BaseException:
                self._talk.stop.set()
                raise
        if stopped is not None:
            kept = f"{done + len(self._answers)} of {self._questions} answers are kept in {self._out}; the same command goes on from there"
            stopped.hint = f"{kept}; {stopped.hint}" if stopped.hint else kept
            raise stopped
        return self._answers

    def _ask(self, key: str, request: AssessmentRequest) -> None:
        """Ask, and keep what comes of it: in the thread that asked, so that nothing that was paid for waits to be written."""
        found = self._talk.ask(request, key)
        model = self._talk.settings.assessor
        with self._keep:
            if isinstance(found, Answered):
                append_answer(self._stream, key, model, request, found)
                self._answers[key] = found.answer
            elif found is not None:
                append_failure(errors_path(self._out), key, model, request, found)
                self._failed += 1
