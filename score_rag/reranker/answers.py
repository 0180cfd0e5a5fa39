"""Kept answers and failures: one JSON a line, under a digest of model, settings and messages."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from pydantic import ValidationError

from score_rag.errors import AssessorError
from score_rag.files import digest_json, write_text
from score_rag.files.lines import drop_torn_line, is_intact, marked_line
from score_rag.prompts import Prompt
from score_rag.reranker.asking import Answered, Failed
from score_rag.reranker.assessment import Assessment, AssessmentRequest, messages
from score_rag.reranker.settings import AssessmentSettings

__all__ = [
    "answer_key",
    "answered",
    "append_answer",
    "append_failure",
    "copy_answers",
    "errors_path",
    "forget_failures",
    "read_answers",
    "read_failures",
    "read_rows",
    "write_answers",
]

_REPLY = 300
"""Characters of a reply that are kept of a failure."""


def errors_path(out: Path) -> Path:
    """Where the questions without an answer are kept: `assessments.errors.jsonl` beside `assessments.jsonl`."""
    return out.with_name(f"{out.stem}.errors.jsonl")


def read_answers(path: Path) -> dict[str, Assessment]:
    """Kept answers by key; a torn last line is ignored.

    Raises:
        AssessorError: A line before the last is malformed.
    """
    return {key: answer for key, (_, answer) in read_rows(path).items()}


def read_rows(path: Path) -> dict[str, tuple[dict[str, Any], Assessment]]:
    """Kept answers by key, each with all that its line says: `user_id`, `item_id`, `model`, tokens and cost.

    Raises:
        AssessorError: A line before the last is malformed.
    """
    rows = {}
    for where, last, line in _lines(path):
        try:
            row = _row(line)
            rows[str(row["key"])] = row, Assessment.model_validate(row)
        except (ValueError, KeyError, TypeError, ValidationError) as error:
            if last:
                break
            raise _malformed(where, line) from error
    return rows


def read_failures(path: Path) -> dict[str, dict[str, Any]]:
    """The questions without an answer by key: `user_id`, `item_id`, `outcome`, `reason`, `replies`.

    Raises:
        AssessorError: A line before the last is malformed.
    """
    rows = {}
    for where, last, line in _lines(path):
        try:
            row = _row(line)
            rows[str(row["key"])] = {**row, "outcome": str(row["outcome"])}
        except (ValueError, KeyError, TypeError) as error:
            if last:
                break
            raise _malformed(where, line) from error
    return rows


def write_answers(
    requests: Sequence[AssessmentRequest],
    answers: Sequence[Assessment],
    settings: AssessmentSettings,
    *,
    prompt: Prompt,
    out: Path,
) -> None:
    """Write the answers to exactly these requests, in their order: the same bytes however they came in, and none of other questions.

    What they cost depends on how they came in, and is not written.
    """
    lines: dict[str, str] = {}
    for request, answer in zip(requests, answers, strict=True):
        key = answer_key(request, prompt, settings)
        lines[key] = _line(_facts(key, request), model=settings.assessor, **answer.model_dump())
    write_text(out, "".join(lines.values()))


def answered(
    requests: Sequence[AssessmentRequest], found: Sequence[Assessment | None], *, where: Path, least: int = 10
) -> tuple[list[AssessmentRequest], list[Assessment]]:
    """The requests that have an answer, and their answers.

    Raises:
        AssessorError: They are fewer than `least`.
    """
    pairs = [(request, answer) for request, answer in zip(requests, found, strict=True) if answer is not None]
    if len(pairs) < least:
        raise AssessorError("too few questions got a valid answer", where=where, expected=f"at least {least}", found=len(pairs))
    return [request for request, _ in pairs], [answer for _, answer in pairs]


def append_answer(stream: TextIO, key: str, model: str, request: AssessmentRequest, answered: Answered) -> None:
    """Keep one answer with what its call came to: a line, flushed."""
    stream.write(_line(_facts(key, request), model=model, **answered.answer.model_dump(), **answered.usage._asdict()))
    stream.flush()


def copy_answers(source: Path, target: Path, keys: Collection[str]) -> None:
    """Append the answers to these questions that one file has and the other has not."""
    known = read_rows(target).keys()
    lines = [_line(row) for key, (row, _) in read_rows(source).items() if key in keys and key not in known]
    if lines:
        target.parent.mkdir(parents=True, exist_ok=True)
        drop_torn_line(target)
        with target.open("a", encoding="utf-8") as stream:
            stream.write("".join(lines))


def append_failure(path: Path, key: str, model: str, request: AssessmentRequest, failed: Failed) -> None:
    """Keep one failure: a line. Replies are cut, and lone surrogates in them replaced."""
    replies = [reply[:_REPLY].encode("utf-8", "replace").decode() for reply in failed.replies]
    facts = {"model": model, "outcome": failed.outcome, "reason": failed.reason.encode("utf-8", "replace").decode(), "replies": replies}
    with path.open("a", encoding="utf-8") as stream:
        stream.write(_line(_facts(key, request), **facts))


def forget_failures(path: Path, keys: Collection[str]) -> None:
    """Remove the failures of questions that are asked again; the file goes with the last of them."""
    failures = read_failures(path)
    left = [row for key, row in failures.items() if key not in keys]
    if left:
        write_text(path, "".join(_line(row) for row in left))
    else:
        path.unlink(missing_ok=True)


def answer_key(request: AssessmentRequest, prompt: Prompt, settings: AssessmentSettings) -> str:
    """A digest of all that an answer depends on."""
    asked = settings.assessor, settings.max_answer_tokens, settings.temperature
    facts = [*asked, messages(request, prompt), request.user_id, request.item_id, request.as_of]
    return digest_json(facts)[:32]


def _facts(key: str, request: AssessmentRequest) -> dict[str, Any]:
    return {"key": key, "user_id": request.user_id, "item_id": request.item_id}


def _line(facts: dict[str, Any], **more: Any) -> str:
    return marked_line({**facts, **more})


def _row(line: str) -> dict[str, Any]:
    """What a line says.

    Raises:
        ValueError: It is no JSON, or not what was written.
    """
    if not is_intact(line):
        raise ValueError("the line is not what was written")
    row: dict[str, Any] = json.loads(line)
    row.pop("crc", None)
    return row


def _lines(path: Path) -> Iterator[tuple[str, bool, str]]:
    """(Where it is, whether it is the last, the line) of each line that is not empty."""
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.is_file() else []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield f"{path}, line {number}", number == len(lines), line


def _malformed(where: str, line: str) -> AssessorError:
    return AssessorError("a kept assessment is malformed", where=where, found=line[:80], hint="remove that line; it will be asked again")
