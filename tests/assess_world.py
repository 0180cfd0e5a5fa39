"""What the tests of assessing share: questions whose right answers are known, and a job on a local server."""

from __future__ import annotations

import json
import threading

import pytest

from score_rag.data.log import Event
from score_rag.prompts import find_prompt
from score_rag.reranker import asking, forms, language_model
from score_rag.reranker.assess import AssessmentRequest, assess
from score_rag.reranker.settings import AssessmentSettings
from score_rag.reranker.spend import Limits

PROMPT = find_prompt("assess")
INPUT, OUTPUT = 0.15e-6, 0.6e-6
"""USD a token of gpt-4o-mini, in LiteLLM's list."""


def questions(count: int) -> list[AssessmentRequest]:
    return [
        AssessmentRequest(Event(f"user-{n}", f"item-{n % 5}", True, 100 + n), f"Liked: Film {n}.", "Heat (1995).") for n in range(count)
    ]


def answer(body) -> str:
    """Names the film of its question, so that an answer under another's key would be seen."""
    film = body["messages"][0]["content"].split("Liked: Film ")[1].split(".")[0]
    return json.dumps({"characteristics": [f"judged Film {film}", "likes heist films"], "reason": "because"})


def is_right(requests, found) -> bool:
    return all(one is None or one.characteristics[0] == f"judged Film {n}" for n, one in enumerate(found)) and len(found) == len(requests)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setattr(asking, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(language_model, "_GRACE", 0.3)
    forms._worked.clear()
    yield
    for thread in threading.enumerate():
        if thread.name == "assessor call":
            thread.join(10)


def job(server, out, requests, limits=Limits(), **changes):  # noqa: B008  # frozen
    base = AssessmentSettings(assessor="openai/gpt-4o-mini", api_base=server.url, concurrency=4, retries=2, timeout=10, max_failed=1.0)
    return assess(requests, base.changed(**changes), prompt=PROMPT, out=out, limits=limits)


def billed(server) -> float:
    return sum(prompt * INPUT + completion * OUTPUT for prompt, completion in server.billed)
