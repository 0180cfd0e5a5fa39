"""Self-assessments: a language model is asked which behaviour of other users would help with a question (the paper's offline step).

Any model that LiteLLM speaks to will do. Every answer is checked and kept as one JSON a line, under a digest of model, settings and
messages, so a stopped run goes on where it was and the same question is never paid for twice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from score_rag.data.log import Event
from score_rag.errors import AssessorError
from score_rag.files import digest_json, write_text
from score_rag.progress import Report, silent
from score_rag.prompts import Prompt

__all__ = ["Assessment", "AssessmentRequest", "assess", "planned_calls", "read_answers", "write_answers"]


class Assessment(BaseModel):
    """What the assessor answers.

    Attributes:
        characteristics: Of other users' behaviour that would help: genres, titles, makers, eras, styles.
        reason: Why, in a sentence or two.
    """

    model_config = ConfigDict(extra="ignore", str_strip_whitespace=True)

    characteristics: list[str] = Field(min_length=1, max_length=12)
    reason: str = ""

    def text(self) -> str:
        """The assessment as one text, for comparing with behaviours."""
        return "; ".join(self.characteristics)


@dataclass(frozen=True)
class AssessmentRequest:
    """One question to assess: the event behind it, its history and item in words."""

    event: Event
    history: str
    target: str

    @property
    def user_id(self) -> str:
        return self.event.user_id

    @property
    def item_id(self) -> str:
        return self.event.item_id

    @property
    def as_of(self) -> int:
        return self.event.timestamp


def assess(
    requests: Sequence[AssessmentRequest],
    *,
    model: str,
    prompt: Prompt,
    out: Path,
    api_base: str | None = None,
    max_answer_tokens: int = 400,
    temperature: float = 0.0,
    retries: int = 2,
    concurrency: int = 4,
    timeout: float = 60.0,
    report: Report = silent,
) -> list[Assessment]:
    """Ask for every request that `out` has no answer to yet.

    Args:
        model: A LiteLLM model name.
        prompt: With the variables `history` and `target`.
        out: JSON lines; appended to, one flushed line an answer. A torn last line (of a killed run) is dropped.
        retries: How often a malformed answer is asked for again, with a word on what was wrong.
        concurrency: Calls under way at once.
        timeout: Seconds a call.

    Returns:
        One assessment a request, in order.

    Raises:
        AssessorError: The model could not be reached or kept answering out of form; every answer so far is kept.
    """
    keys = [_key(request, model, prompt, max_answer_tokens, temperature) for request in requests]
    answers = read_answers(out)
    waiting = list(dict.fromkeys(place for place, key in enumerate(keys) if key not in answers))
    done = len(requests) - len(waiting)
    out.parent.mkdir(parents=True, exist_ok=True)
    _drop_torn_line(out)
    if waiting:
        litellm = _litellm()
        with out.open("a", encoding="utf-8") as stream, ThreadPoolExecutor(max_workers=concurrency) as pool:
            running: dict[Future[Assessment], int] = {}
            queue = iter(waiting)
            failure: AssessorError | None = None
            while True:
                while failure is None and len(running) < concurrency and (place := next(queue, None)) is not None:
                    asked = _messages(requests[place], prompt)
                    future = pool.submit(
                        _ask, litellm, requests[place], asked, model, api_base, max_answer_tokens, temperature, retries, timeout
                    )
                    running[future] = place
                if not running:
                    break
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    place = running.pop(future)
                    try:
                        answers[keys[place]] = future.result()
                    except AssessorError as error:
                        failure = failure or error
                        continue
                    stream.write(_line(keys[place], model, requests[place], answers[keys[place]]))
                    stream.flush()
                    done += 1
                    report("asking for assessments", done, len(requests))
            if failure is not None:
                failure.hint = f"{done} of {len(requests)} answers are kept in {out}; the same command goes on from there"
                raise failure
    else:
        report("asking for assessments", done, len(requests))
    return [answers[key] for key in keys]


def planned_calls(requests: Sequence[AssessmentRequest], *, model: str, prompt: Prompt, out: Path, max_answer_tokens: int = 400) -> int:
    """How many of the requests have no answer yet."""
    answers = read_answers(out)
    return sum(_key(request, model, prompt, max_answer_tokens, 0.0) not in answers for request in requests)


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
    *,
    model: str,
    prompt: Prompt,
    out: Path,
    max_answer_tokens: int = 400,
    temperature: float = 0.0,
) -> None:
    """Write the answers to exactly these requests, in their order: the same bytes however they came in, and none of other questions."""
    lines: dict[str, str] = {}
    for request, answer in zip(requests, answers, strict=True):
        key = _key(request, model, prompt, max_answer_tokens, temperature)
        lines[key] = _line(key, model, request, answer)
    write_text(out, "".join(lines.values()))


def _line(key: str, model: str, request: AssessmentRequest, answer: Assessment) -> str:
    facts = {"key": key, "model": model, "user_id": request.user_id, "item_id": request.item_id}
    return json.dumps({**facts, **answer.model_dump()}, ensure_ascii=False) + "\n"


def _drop_torn_line(path: Path) -> None:
    if path.is_file():
        raw = path.read_bytes()
        if raw and not raw.endswith(b"\n"):
            with path.open("r+b") as stream:
                stream.truncate(raw.rfind(b"\n") + 1)


def _key(request: AssessmentRequest, model: str, prompt: Prompt, max_answer_tokens: int, temperature: float) -> str:
    facts = [model, max_answer_tokens, temperature, _messages(request, prompt), request.user_id, request.item_id, request.as_of]
    return digest_json(facts)[:32]


def _messages(request: AssessmentRequest, prompt: Prompt) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt.render(history=request.history, target=request.target)}]


def _litellm() -> Any:
    # Without this, the import asks a server for a price list, and waits for it.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    litellm.telemetry = False
    litellm.suppress_debug_info = True
    return litellm


def _ask(
    litellm: Any,
    request: AssessmentRequest,
    messages: list[dict[str, str]],
    model: str,
    api_base: str | None,
    max_answer_tokens: int,
    temperature: float,
    retries: int,
    timeout: float,
) -> Assessment:
    where = f"user {request.user_id}, item {request.item_id}"
    asked = list(messages)
    said = ""
    for _ in range(retries + 1):
        try:
            answer = litellm.completion(
                model=model,
                messages=asked,
                api_base=api_base,
                max_tokens=max_answer_tokens,
                temperature=temperature,
                timeout=timeout,
                num_retries=1,
                response_format={"type": "json_object"},
                drop_params=True,
                metadata={"user_id": request.user_id, "item_id": request.item_id, "as_of": request.as_of},
            )
        except Exception as error:  # litellm wraps every provider's errors in classes of its own and of openai's
            raise AssessorError(
                f"the assessor {model!r} could not be asked", where=where, found=str(error).splitlines()[0][:300]
            ) from error
        said = (answer.choices[0].message.content or "") if answer.choices else ""
        try:
            return Assessment.model_validate_json(_bare_json(said))
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'answer'}: {e['msg']}" for e in error.errors()[:3])
            repair = (
                f'That was not the JSON asked for ({wrong}). Answer with {{"characteristics": [...], "reason": "..."}} and nothing else.'
            )
            asked = [*messages, {"role": "assistant", "content": said}, {"role": "user", "content": repair}]
    raise AssessorError(
        f"the assessor {model!r} keeps answering out of form",
        where=where,
        expected='{"characteristics": [...], "reason": "..."}',
        found=repr(said[:200]),
    )


def _bare_json(text: str) -> str:
    """The outermost braces of an answer: models like to wrap JSON in fences or a friendly sentence."""
    start, end = text.find("{"), text.rfind("}")
    return text[start : end + 1] if 0 <= start < end else text
