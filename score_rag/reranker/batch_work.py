"""Batches of questions at a provider: handed over, found again, waited for, read; every step can be the last of a killed job."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from score_rag.data.log import Event
from score_rag.errors import AssessorError, SpendLimitError
from score_rag.progress import Report, with_detail
from score_rag.prompts import Prompt
from score_rag.reranker.answers import append_answer, append_failure, errors_path, read_answers
from score_rag.reranker.asking import Answered, Conversation, Failed
from score_rag.reranker.assessment import AssessmentRequest, messages
from score_rag.reranker.batch_model import BatchModel
from score_rag.reranker.batch_state import BatchRow, PendingBatch, batch_path
from score_rag.reranker.forms import Ladder
from score_rag.reranker.language_model import CallError, LanguageModel
from score_rag.reranker.replies import InvalidReplyError, is_refusal, read_reply
from score_rag.reranker.spend import Journal, Usage

__all__ = ["LARGEST", "Batches"]

LARGEST = 50_000, 180_000_000
"""Rows, and bytes of a batch's file, at most: OpenAI takes 50,000 and 200 MB."""
_POLL = 10.0, 120.0
"""Seconds between two looks at a batch: at first, and at most (each wait is half as long again as the one before)."""


class Batches:
    """Hands batches over and reads them.

    Args:
        requests: Of the whole job, by key.
    """

    def __init__(
        self,
        model: BatchModel,
        journal: Journal,
        prompt: Prompt,
        out: Path,
        requests: Mapping[str, AssessmentRequest],
        report: Report,
        sleep: Callable[[float], None],
    ) -> None:
        self._model, self._journal, self._prompt, self._out = model, journal, prompt, out
        self._requests, self._report, self._sleep = requests, report, sleep
        self._note = batch_path(out)
        self._settings = model.settings
        self._ladder = Ladder(self._settings.assessor, self._settings.api_base)

    def ask_alone(self, key: str) -> None:
        """Ask one question by a call of its own."""
        talk = Conversation(LanguageModel(self._settings), self._journal, self._prompt, self._settings)
        found = talk.ask(self._requests[key], key)
        assert found is not None, "nobody stops this conversation"
        self._keep(BatchRow(key, "", self._requests[key].user_id, self._requests[key].item_id), found)
        if isinstance(found, Failed):
            # It alone: the batch would be asked in the same way, and paid for.
            raise AssessorError(
                "the first question got no valid answer, so no batch was handed over",
                where=errors_path(self._out),
                found=f"{found.outcome}: {found.reason}",
                hint="the same command asks again",
            )

    def hand_over(self, keys: Sequence[str]) -> SpendLimitError | None:
        """Make a batch of as many questions as fit; returns the limit that kept the others out.

        Raises:
            SpendLimitError: Not one fits.
            AssessorError: It was not taken.
        """
        form = self._ladder.start()
        rows: list[BatchRow] = []
        lines: list[str] = []
        size, stopped = 0, None
        for key, line in zip(keys, self._model.lines((self._asked(key) for key in keys), form), strict=True):
            size += len(line.encode("utf-8", "replace"))
            if len(rows) >= LARGEST[0] or size > LARGEST[1]:
                break
            try:
                call = self._journal.reserve(key, self._model.most(self._asked(key), form), wait=False)
            except SpendLimitError as error:
                stopped = error
                break
            rows.append(BatchRow(key, call, self._requests[key].user_id, self._requests[key].item_id))
            lines.append(line)
        if not rows:
            assert stopped is not None
            raise stopped
        pending = PendingBatch(secrets.token_hex(8), self._settings.assessor, self._settings.api_base, tuple(rows))
        try:
            file_id = self._model.upload(lines)
        except CallError as error:
            self._release(rows)
            raise self._not_taken(error) from error
        pending.write(self._note)
        try:
            batch_id = self._model.create(file_id, pending.tag)
        except CallError as error:
            if error.billed:
                raise AssessorError(
                    "no answer came when a batch was handed over, so it may be under way",
                    where=self._note,
                    found=error.reason,
                    hint="the same command looks for it at the provider",
                ) from error
            self._release(rows)
            self._note.unlink()
            raise self._not_taken(error) from error
        PendingBatch(**{**vars(pending), "batch_id": batch_id}).write(self._note)
        return stopped

    def finish(self) -> set[str]:
        """Wait for the batch that is under way, and keep its answers; returns the keys of its questions, none where there is no batch.

        Raises:
            AssessorError: The batch is another model's, or can be neither found nor read.
        """
        pending = PendingBatch.read(self._note)
        if pending is None:
            return set()
        if (pending.model, pending.api_base) != (self._settings.assessor, self._settings.api_base):
            raise AssessorError(
                "a batch of another model is under way",
                where=self._note,
                expected=f"reranker.assessor: {pending.model}",
                found=self._settings.assessor,
                hint="read it first, with the settings that it was made with",
            )
        self._journal.take_over([row.call for row in pending.rows])
        batch_id = pending.batch_id or self._patiently(lambda: self._model.find(pending.tag))
        if batch_id is None:
            # It was noted and never made: nothing was asked.
            self._release(pending.rows)
            self._note.unlink()
            return set()
        look, wait = self._patiently(lambda: self._model.look(batch_id)), _POLL[0]
        while not look.ended:
            self._tell(look.done, len(pending.rows))
            self._sleep(wait)
            wait = min(_POLL[1], wait * 1.5)
            look = self._patiently(lambda: self._model.look(batch_id))
        found: dict[str, dict[str, Any]] = {}
        for file_id in look.files:
            for row in self._patiently(lambda file_id=file_id: self._model.read(file_id)):  # type: ignore[misc]
                found[str(row.get("custom_id"))] = row
        lost = Failed("unavailable", f"the batch {look.status}" + (f": {look.reason}" if look.reason else " without this row"))
        kept = read_answers(self._out)
        for number, row in enumerate(pending.rows):
            # A job that was killed here has kept the first of them.
            outcome, usage = self._outcome(found.get(str(number)), row) or (lost, Usage(0, 0, 0.0) if look.status == "failed" else None)
            if not self._journal.is_open(row.call):
                continue
            if row.key not in kept:
                self._keep(row, outcome)
            if usage is None:
                # Nobody saw its answer, and it may be billed.
                self._journal.lose(row.call)
            else:
                self._journal.settle(row.call, usage)
        self._tell(len(pending.rows), len(pending.rows))
        self._note.unlink()
        return {row.key for row in pending.rows}

    def _outcome(self, told: Mapping[str, Any] | None, row: BatchRow) -> tuple[Answered | Failed, Usage] | None:
        """What a row came to; None where nothing is told of it."""
        response = (told or {}).get("response") or {}
        body = response.get("body")
        if told is None or not isinstance(body, dict):
            return None
        if response.get("status_code") != 200 or "choices" not in body:
            error = body.get("error")
            reason = str((error.get("message") if isinstance(error, dict) else error) or body)[:300]
            return Failed("unavailable", f"status {response.get('status_code')}: {reason}"), Usage(0, 0, 0.0)
        asked = self._asked(row.key) if row.key in self._requests else []
        reply = self._model.reply(body, asked, self._ladder.start())
        if reply.outcome != "answered":
            return Failed(reply.outcome, "the answer was " + reply.outcome, (reply.text,)), reply.usage
        try:
            return Answered(read_reply(reply.text), reply.usage), reply.usage
        except InvalidReplyError as error:
            return Failed("refused" if is_refusal(reply.text) else "invalid", str(error), (reply.text,)), reply.usage

    def _keep(self, row: BatchRow, found: Answered | Failed) -> None:
        request = self._requests.get(row.key) or AssessmentRequest(Event(row.user_id, row.item_id, False, 0), "", "")
        if isinstance(found, Answered):
            with self._out.open("a", encoding="utf-8") as stream:
                append_answer(stream, row.key, self._settings.assessor, request, found)
        else:
            append_failure(errors_path(self._out), row.key, self._settings.assessor, request, found)

    def _asked(self, key: str) -> list[dict[str, str]]:
        return messages(self._requests[key], self._prompt)

    def _release(self, rows: Sequence[BatchRow]) -> None:
        for row in rows:
            if self._journal.is_open(row.call):
                self._journal.settle(row.call, Usage(0, 0, 0.0))

    def _patiently(self, call: Callable[[], Any]) -> Any:
        """What a call brings, tried again where it may work later: to look costs nothing.

        Raises:
            AssessorError: It brings nothing.
        """
        for turn in range(self._settings.retries + 1):
            try:
                return call()
            except CallError as error:
                failed = error
                if error.kind != "again" or turn == self._settings.retries:
                    break
                self._sleep(error.wait if error.wait is not None else min(_POLL[1], _POLL[0] * 2**turn))
        raise AssessorError(
            "the provider says nothing of a batch that is under way",
            where=self._note,
            found=failed.reason,
            hint="the same command goes on; if the batch is gone for ever, remove that file, and its questions are asked anew",
        ) from failed

    def _not_taken(self, error: CallError) -> AssessorError:
        return AssessorError(
            f"a batch was not taken for {self._settings.assessor!r}",
            found=error.reason,
            hint="the same command tries again, or ask call by call",
        )

    def _tell(self, done: int, total: int) -> None:
        self._report(with_detail("waiting for the batch", str(self._journal.spend)), done, total)
