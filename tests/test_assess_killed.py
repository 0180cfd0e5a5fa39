"""An assessment job that is killed or held back: what was paid is known, and nothing is paid for twice."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from assess_world import INPUT, OUTPUT, PROMPT, answer, billed, is_right, job, questions, quick  # noqa: F401

from score_rag.reranker.answers import read_answers
from score_rag.reranker.spend import Journal, Limits, Usage, journal_path, read_spend
from score_rag.testing import ChatServer

assess_module = importlib.import_module("score_rag.reranker.assess")
# LiteLLM's own types make pydantic warn when they are first used.
pytestmark = [pytest.mark.filterwarnings("ignore:Item .* on TypedDict class:UserWarning"), pytest.mark.usefixtures("quick")]

KILLED = """
import sys
from pathlib import Path
import assess_world
from score_rag.reranker.spend import Limits
settings = assess_world.AssessmentSettings(assessor="openai/gpt-4o-mini", api_base=sys.argv[1], concurrency=3, retries=2)
assess_world.assess(assess_world.questions(30), settings, prompt=assess_world.PROMPT, out=Path(sys.argv[2]), limits=Limits(max_cost=1))
"""


def test_a_killed_job_goes_on_where_it_was_and_hides_nothing_that_may_have_been_paid(tmp_path):
    requests, out = questions(30), tmp_path / "a.jsonl"
    here = os.environ | {"PYTHONPATH": os.pathsep.join(["tests", *sys.path])}
    with ChatServer(answer, fault=lambda count: "timeout" if count >= 9 else None, late=60) as server:
        process = subprocess.Popen([sys.executable, "-c", KILLED, server.url, str(out)], cwd=Path(__file__).parent.parent, env=here)
        deadline = time.monotonic() + 60
        # Nine are answered; then three calls are in flight, paid for at the server, and unheard of.
        while len(server.billed) < 12 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.kill()
        process.wait()
        kept, spend = read_answers(out), read_spend(journal_path(out))
        assert len(kept) == 9 and (spend.requests, spend.unsettled) == (12, 3) and spend.cost >= billed(server)
        assert spend.cost <= billed(server) + 3 * (400 * OUTPUT + 1000 * INPUT)
        server.fault = lambda count: None
        found = job(server, out, requests)
        assert is_right(requests, found) and None not in found and len(server.requests) == 12 + 21
        assert kept.items() <= read_answers(out).items()


def test_what_was_spent_is_exact_after_a_kill_between_an_answer_and_its_line(tmp_path, monkeypatch):
    requests, out = questions(6), tmp_path / "a.jsonl"
    keep, calls = assess_module.append_answer, []

    def die(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        keep(*arguments)

    with ChatServer(answer) as server:
        monkeypatch.setattr(assess_module, "append_answer", die)
        with pytest.raises(KeyboardInterrupt):
            job(server, out, requests, concurrency=1)
        assert len(read_answers(out)) == 2 and read_spend(journal_path(out)).cost == pytest.approx(billed(server))
        monkeypatch.setattr(assess_module, "append_answer", keep)
        assert is_right(requests, job(server, out, requests, concurrency=1))
        # The third was answered twice, and both are counted.
        assert len(server.billed) == 7 and read_spend(journal_path(out)).cost == pytest.approx(billed(server))


def test_calls_that_fit_only_one_after_the_other_wait_for_each_other(tmp_path):
    usage, small = Usage(50, 50, None), Usage(10, 0, None)
    flying, most = [0], []
    with Journal(None, [], Limits(max_tokens=150)) as journal:

        def call():
            name = journal.reserve("k", usage)
            flying[0] += 1
            most.append(flying[0])
            time.sleep(0.02)
            flying[0] -= 1
            journal.settle(name, small)

        threads = [threading.Thread(target=call) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert max(most) == 1 and journal.spend.requests == 5 and journal.spend.prompt_tokens == 50
