"""Self-assessments: a language model is asked which behaviour of other users would help with a question (the paper's offline step).

Every answer is checked and kept at once, so a stopped run goes on where it was and the same question is never paid for twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from pydantic import ValidationError

from score_rag.errors import AssessorError
from score_rag.progress import Report, silent
from score_rag.prompts import Prompt
from score_rag.reranker.answers import answer_key, append_answer, drop_torn_line, read_answers, write_answers
from score_rag.reranker.assessment import Assessment, AssessmentRequest, messages
from score_rag.reranker.language_model import Ask, ask_litellm
from score_rag.reranker.settings import AssessmentSettings

__all__ = ["Assessment", "AssessmentRequest", "assess", "planned_calls", "read_answers", "write_answers"]

_DEFAULTS = AssessmentSettings()


def assess(
    requests: Sequence[AssessmentRequest],
    settings: AssessmentSettings = _DEFAULTS,
    *,
    prompt: Prompt,
    out: Path,
    ask: Ask | None = None,
    report: Report = silent,
) -> list[Assessment]:
    """Ask for every request that `out` has no answer to yet.

    Args:
        settings: Who is asked, and how.
        prompt: With the variables `history` and `target`.
        out: JSON lines; appended to, one flushed line an answer. A torn last line (of a killed run) is dropped.
        ask: Who answers in the model's place; None asks the model, by LiteLLM.

    Returns:
        One assessment a request, in order.

    Raises:
        AssessorError: The model could not be reached, or returned invalid JSON after all retries; every answer so far is kept.
    """
    keys = [answer_key(request, prompt, settings) for request in requests]
    answers = read_answers(out)
    waiting = list(dict.fromkeys(place for place, key in enumerate(keys) if key not in answers))
    done = len(requests) - len(waiting)
    out.parent.mkdir(parents=True, exist_ok=True)
    drop_torn_line(out)
    if waiting:
        if ask is None:
            ask = ask_litellm(settings)
        with out.open("a", encoding="utf-8") as stream, ThreadPoolExecutor(max_workers=settings.concurrency) as pool:
            running: dict[Future[Assessment], int] = {}
            queue = iter(waiting)
            failure: AssessorError | None = None
            while True:
                while failure is None and len(running) < settings.concurrency and (place := next(queue, None)) is not None:
                    running[pool.submit(_assess, ask, requests[place], prompt, settings)] = place
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
                    append_answer(stream, keys[place], settings.assessor, requests[place], answers[keys[place]])
                    done += 1
                    report("asking for assessments", done, len(requests))
            if failure is not None:
                failure.hint = f"{done} of {len(requests)} answers are kept in {out}; the same command goes on from there"
                raise failure
    else:
        report("asking for assessments", done, len(requests))
    return [answers[key] for key in keys]


def planned_calls(
    requests: Sequence[AssessmentRequest],
    settings: AssessmentSettings = _DEFAULTS,
    *,
    prompt: Prompt,
    out: Path,
) -> int:
    """How many of the requests `assess` would ask: those that have no answer yet."""
    answers = read_answers(out)
    return sum(answer_key(request, prompt, settings) not in answers for request in requests)


def _assess(ask: Ask, request: AssessmentRequest, prompt: Prompt, settings: AssessmentSettings) -> Assessment:
    """Ask until the answer is valid, `settings.retries` times more at most."""
    asked = messages(request, prompt)
    said = ""
    for _ in range(settings.retries + 1):
        said = ask(asked, request)
        try:
            return Assessment.model_validate_json(_bare_json(said))
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'answer'}: {e['msg']}" for e in error.errors()[:3])
            repair = (
                f'That was not the JSON asked for ({wrong}). Answer with {{"characteristics": [...], "reason": "..."}} and nothing else.'
            )
            asked = [*messages(request, prompt), {"role": "assistant", "content": said}, {"role": "user", "content": repair}]
    raise AssessorError(
        f"the assessor {settings.assessor!r} returned invalid JSON after {settings.retries} retries",
        where=request.where,
        expected='{"characteristics": [...], "reason": "..."}',
        found=repr(said[:200]),
    )


def _bare_json(text: str) -> str:
    """The outermost braces of an answer: models like to wrap JSON in fences or a friendly sentence."""
    start, end = text.find("{"), text.rfind("}")
    return text[start : end + 1] if 0 <= start < end else text
