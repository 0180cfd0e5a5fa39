"""Kept answers: one JSON a line, under a digest of model, settings and messages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from pydantic import ValidationError

from score_rag.errors import AssessorError
from score_rag.files import digest_json, write_text
from score_rag.prompts import Prompt
from score_rag.reranker.assessment import Assessment, AssessmentRequest, messages
from score_rag.reranker.settings import AssessmentSettings

__all__ = ["answer_key", "append_answer", "drop_torn_line", "read_answers", "write_answers"]


def read_answers(path: Path) -> dict[str, Assessment]:
    """Kept answers by key; a torn last line is ignored.

    Raises:
        AssessorError: A line before the last is malformed.
    """
    if not path.is_file():
        return {}
    answers = {}
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            answers[str(row["key"])] = Assessment.model_validate(row)
        except (json.JSONDecodeError, KeyError, TypeError, ValidationError) as error:
            if number == len(lines):
                break
            raise AssessorError(
                "a kept assessment is malformed",
                where=f"{path}, line {number}",
                found=line[:80],
                hint="remove that line; it will be asked again",
            ) from error
    return answers


def write_answers(
    requests: Sequence[AssessmentRequest],
    answers: Sequence[Assessment],
    settings: AssessmentSettings,
    *,
    prompt: Prompt,
    out: Path,
) -> None:
    """Write the answers to exactly these requests, in their order: the same bytes however they came in, and none of other questions."""
    lines: dict[str, str] = {}
    for request, answer in zip(requests, answers, strict=True):
        key = answer_key(request, prompt, settings)
        lines[key] = _line(key, settings.assessor, request, answer)
    write_text(out, "".join(lines.values()))


def append_answer(stream: TextIO, key: str, model: str, request: AssessmentRequest, answer: Assessment) -> None:
    """Keep one answer: a line, flushed."""
    stream.write(_line(key, model, request, answer))
    stream.flush()


def drop_torn_line(path: Path) -> None:
    """Remove a last line that a killed run did not finish."""
    if path.is_file():
        raw = path.read_bytes()
        if raw and not raw.endswith(b"\n"):
            with path.open("r+b") as stream:
                stream.truncate(raw.rfind(b"\n") + 1)


def answer_key(request: AssessmentRequest, prompt: Prompt, settings: AssessmentSettings) -> str:
    """A digest of all that an answer depends on."""
    asked = settings.assessor, settings.max_answer_tokens, settings.temperature
    facts = [*asked, messages(request, prompt), request.user_id, request.item_id, request.as_of]
    return digest_json(facts)[:32]


def _line(key: str, model: str, request: AssessmentRequest, answer: Assessment) -> str:
    facts = {"key": key, "model": model, "user_id": request.user_id, "item_id": request.item_id}
    return json.dumps({**facts, **answer.model_dump()}, ensure_ascii=False) + "\n"
