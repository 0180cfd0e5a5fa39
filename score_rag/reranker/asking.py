"""One question, put to the assessor until its answer is valid: each call is reserved before and settled after, whatever comes of it."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from typing import Literal

from score_rag.errors import AssessorError
from score_rag.prompts import Prompt
from score_rag.reranker.assessment import Assessment, AssessmentRequest, messages
from score_rag.reranker.forms import Ladder
from score_rag.reranker.language_model import CalledModel, CallError, Reply
from score_rag.reranker.replies import InvalidReplyError, is_refusal, read_reply
from score_rag.reranker.settings import AssessmentSettings
from score_rag.reranker.spend import Journal, Usage

__all__ = ["FIRST_WAIT", "OUTCOMES", "Answered", "Conversation", "Failed", "Outcome"]

Outcome = Literal["invalid", "refused", "filtered", "unavailable"]
OUTCOMES: tuple[Outcome, ...] = ("invalid", "refused", "filtered", "unavailable")
"""Of a question without an answer: what the last call brought."""

FIRST_WAIT = 1.0
"""Seconds before a call is repeated after an error whose provider does not say how long; doubled each time, 30 at most."""


@dataclass(frozen=True)
class Answered:
    """A valid answer, and what the call that brought it came to."""

    answer: Assessment
    usage: Usage


@dataclass(frozen=True)
class Failed:
    """No answer after all calls."""

    outcome: Outcome
    reason: str
    replies: tuple[str, ...] = ()


@dataclass
class Conversation:
    """What the questions of a job share. Thread-safe.

    Attributes:
        stop: Set where no further call is to be made.
    """

    model: CalledModel
    journal: Journal
    prompt: Prompt
    settings: AssessmentSettings
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._ladder = Ladder(self.settings.assessor, self.settings.api_base)
        self._not_before = 0.0

    def ask(self, request: AssessmentRequest, key: str) -> Answered | Failed | None:
        """Ask at most `settings.retries` times more than once; None where the job was stopped before that was settled.

        Raises:
            SpendLimitError: A call could pass a limit.
            AssessorError: The model cannot be asked anything. (One that has answered before may have been told not to take this question.)
        """
        asked = first = messages(request, self.prompt)
        failed = Failed("unavailable", "never asked")
        replies: list[str] = []
        form = self._ladder.start()
        calls = 0
        while calls <= self.settings.retries:
            self._wait_for_model()
            if self.stop.is_set():
                return None
            try:
                reply = self._call(asked, request, key, form)
            except CallError as error:
                if error.kind == "form" and (below := self._ladder.below(form)) != form:
                    # Refused for its form alone and not billed: no try of the question.
                    form = below
                    continue
                if error.kind == "model" and not self._ladder.answers:
                    raise AssessorError(
                        f"the assessor {self.settings.assessor!r} could not be asked", where=request.where, found=error.reason
                    ) from error
                failed = Failed("filtered" if error.kind == "filtered" else "unavailable", error.reason, tuple(replies))
                if error.kind != "again":
                    return failed
                self._hold(error.wait if error.wait is not None else min(30.0, FIRST_WAIT * 2**calls), everybody=error.wait is not None)
                calls += 1
                continue
            calls += 1
            replies.append(reply.text)
            if reply.outcome != "answered":
                failed = Failed(reply.outcome, "the answer was " + reply.outcome, tuple(replies))
                asked = first
                continue
            try:
                answer = read_reply(reply.text)
            except InvalidReplyError as error:
                told = f"{error}; cut off after {self.settings.max_answer_tokens} tokens" if reply.cut else str(error)
                failed = Failed("refused" if is_refusal(reply.text) else "invalid", told, tuple(replies))
                # Some providers refuse a turn that says nothing.
                said = [{"role": "assistant", "content": reply.text}] if reply.text.strip() else []
                asked = [*first, *said, {"role": "user", "content": _repair(told)}]
                form = self._ladder.below(form)
                continue
            self._ladder.worked(form)
            return Answered(answer, reply.usage)
        return failed

    def _call(self, asked: list[dict[str, str]], request: AssessmentRequest, key: str, form: str) -> Reply:
        call = self.journal.reserve(key, self.model.most(asked, form))
        try:
            reply = self.model.call(asked, request, form)
        except CallError as error:
            if error.billed:
                self.journal.lose(call)
            else:
                self.journal.settle(call, Usage(0, 0, 0.0))
            raise
        except BaseException:
            self.journal.lose(call)
            raise
        self.journal.settle(call, reply.usage)
        return reply

    def _hold(self, seconds: float, *, everybody: bool) -> None:
        """Wait; where the provider asked for it, no thread of the job calls it before that."""
        if everybody:
            self._not_before = max(self._not_before, time.monotonic() + seconds)
        else:
            # Not all at the same moment again.
            self.stop.wait(seconds * random.uniform(0.5, 1.0))

    def _wait_for_model(self) -> None:
        while (left := self._not_before - time.monotonic()) > 0 and not self.stop.wait(left):
            pass


def _repair(wrong: str) -> str:
    return f'That was not the JSON asked for ({wrong}). Answer with {{"characteristics": [...], "reason": "..."}} and nothing else.'
