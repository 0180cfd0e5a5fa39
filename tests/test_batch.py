"""Assessing in batches, over a real local server that speaks the files and batches API: handed over once, found again, paid once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from assess_world import INPUT, OUTPUT, PROMPT, answer, is_right, job, questions, quick  # noqa: F401

from score_rag.errors import AssessorError, InputError, SpendLimitError
from score_rag.reranker import batch_work
from score_rag.reranker.answers import errors_path, read_answers, read_failures, read_rows
from score_rag.reranker.batch import assess_in_batches
from score_rag.reranker.batch_state import batch_path
from score_rag.reranker.settings import AssessmentSettings
from score_rag.reranker.spend import Journal, Limits, Usage, journal_path, read_spend
from score_rag.testing import BatchServer

# LiteLLM's own types make pydantic warn when they are first used.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Item .* on TypedDict class:UserWarning"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),
    pytest.mark.usefixtures("quick"),
]


def batched(server, out, requests, limits=Limits(), sleep=lambda seconds: None, **changes):  # noqa: B008  # frozen
    base = AssessmentSettings(assessor="openai/gpt-4o-mini", api_base=server.url, retries=2, timeout=10, max_failed=1.0)
    return assess_in_batches(requests, base.changed(**changes), prompt=PROMPT, out=out, limits=limits, sleep=sleep)


def half_billed(server, alone=1) -> float:
    """What the server's answers cost: the first ones by calls, the others in batches."""
    prices = [prompt * INPUT + completion * OUTPUT for prompt, completion in server.billed]
    return sum(prices[:alone]) + sum(prices[alone:]) / 2


def test_a_batch_brings_the_answers_of_single_calls_at_half_the_price(tmp_path):
    requests, out, waits = questions(30), tmp_path / "a.jsonl", []
    with BatchServer(answer) as server:
        server.polls = 3
        found = batched(server, out, requests, sleep=waits.append)
        assert is_right(requests, found) and None not in found and len(server.batches) == 1 and len(server.requests) == 30
        assert waits == [10.0, 15.0, 22.5], "looked at more and more seldom"
        spend = read_spend(journal_path(out))
        assert (spend.requests, spend.unsettled) == (30, 0) and spend.cost == pytest.approx(half_billed(server))
        assert batched(server, out, requests) == found and len(server.batches) == 1 and not batch_path(out).exists()
        assert job(server, tmp_path / "b.jsonl", requests) == found
    row, _ = list(read_rows(out).values())[-1]
    assert row["cost"] == pytest.approx((row["prompt_tokens"] * INPUT + row["completion_tokens"] * OUTPUT) / 2)


def test_providers_are_told_no_user_in_a_batch(tmp_path):
    with BatchServer(answer) as server:
        batched(server, tmp_path / "a.jsonl", questions(4))
        (made,) = server.batches.values()
        told = server.files[made["input_file_id"]].decode() + json.dumps(made["metadata"])
    assert "user-" not in told and "item-" not in told
    assert [json.loads(line)["custom_id"] for line in server.files[made["input_file_id"]].splitlines()] == ["0", "1", "2"]


def test_rows_that_fail_are_kept_with_their_outcome_and_asked_by_the_next_call(tmp_path):
    requests, out = questions(9), tmp_path / "a.jsonl"
    faults = {1: "schema", 2: "refusal", 3: "filter", 4: "error", 5: "half", 6: "reset"}
    with BatchServer(answer, fault=faults.get) as server:
        found = batched(server, out, requests)
        assert is_right(requests, found) and [one is None for one in found] == [n in faults for n in range(9)]
        outcomes = {row["user_id"]: row["outcome"] for row in read_failures(errors_path(out)).values()}
        expected = ["invalid", "refused", "filtered", "unavailable", "invalid", "unavailable"]
        assert outcomes == {f"user-{n}": outcome for n, outcome in zip(faults, expected, strict=True)}
        spend = read_spend(journal_path(out))
        assert (spend.requests, spend.unsettled) == (9, 1) and spend.cost >= half_billed(server) - 1e-12
        assert None not in batched(server, out, requests) and len(server.requests) == 9 + 6 and not errors_path(out).exists()


def test_too_many_failed_rows_are_an_error_and_the_answers_stay(tmp_path):
    out = tmp_path / "a.jsonl"
    with (
        BatchServer(answer, fault=lambda count: "schema" if count > 5 else None) as server,
        pytest.raises(AssessorError, match="4 of 10 questions got no valid answer"),
    ):
        batched(server, out, questions(10), max_failed=0.2)
    assert len(read_answers(out)) == 6


def test_only_what_fits_the_limits_is_handed_over(tmp_path):
    requests, out = questions(20), tmp_path / "a.jsonl"
    with BatchServer(answer) as server:
        with pytest.raises(SpendLimitError, match="limit max_requests") as caught:
            batched(server, out, requests, Limits(max_requests=8))
        assert caught.value.exit_code == 3 and "8 of 20 answers are kept" in caught.value.hint and len(server.requests) == 8
        before = read_spend(journal_path(out)).cost
        with pytest.raises(SpendLimitError, match="limit max_cost"):
            batched(server, out, requests, Limits(max_cost=before + 0.0009), max_answer_tokens=400)
        spend = read_spend(journal_path(out))
        assert before < spend.cost <= before + 0.0009 and 8 < len(server.requests) < 20
        with pytest.raises(InputError, match="none is known"):
            batched(server, tmp_path / "b.jsonl", requests, Limits(max_cost=1.0), assessor="openai/nobody-knows-it")
        assert None not in batched(server, out, requests) and len(server.requests) == 20


def test_large_jobs_are_handed_over_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(batch_work, "LARGEST", (7, 10**6))
    with BatchServer(answer) as server:
        assert None not in batched(server, tmp_path / "a.jsonl", questions(20)) and len(server.batches) == 3
    monkeypatch.setattr(batch_work, "LARGEST", (100, 5000))
    with BatchServer(answer) as server:
        assert None not in batched(server, tmp_path / "b.jsonl", questions(20)) and len(server.batches) > 1
        assert (
            max(map(len, server.files.values())) <= 20_000
            and max(len(server.files[b["input_file_id"]]) for b in server.batches.values()) <= 5000
        )


@pytest.mark.parametrize("noted", [True, False], ids=["its answer was lost", "it was never made"])
def test_a_batch_whose_id_never_came_is_looked_for_before_anything_is_asked(tmp_path, noted):
    requests, out = questions(6), tmp_path / "a.jsonl"
    with BatchServer(answer) as server:
        server.lost = 1
        with pytest.raises(AssessorError, match="may be under way"):
            batched(server, out, requests)
        assert read_spend(journal_path(out)).unsettled == 5 and len(server.batches) == 1
        if not noted:
            server.batches.clear()
        with pytest.raises(AssessorError, match="in a batch that is under way, and would be paid for twice"):
            job(server, out, requests)
        found = batched(server, out, requests)
        assert is_right(requests, found) and None not in found and len(server.requests) == 6
        assert len(server.batches) == 1 and read_spend(journal_path(out)).unsettled == 0


def test_a_batch_that_is_refused_or_fails_as_a_whole_costs_nothing(tmp_path):
    requests, out = questions(5), tmp_path / "a.jsonl"
    with BatchServer(answer) as server:
        server.end = "failed"
        assert batched(server, out, requests).count(None) == 4
        assert all("made to fail" in row["reason"] for row in read_failures(errors_path(out)).values())
        assert read_spend(journal_path(out)).cost == pytest.approx(half_billed(server)) and len(server.billed) == 1
        handle = server.handle
        refused = 400, b'{"error": {"message": "no"}}', {}, 0
        server.handle = lambda method, path, *more: refused if path.endswith("batches") else handle(method, path, *more)
        with pytest.raises(AssessorError, match="a batch was not taken"):
            batched(server, out, requests)
        assert not batch_path(out).exists() and read_spend(journal_path(out)).unsettled == 0
        server.handle, server.end = handle, "expired"
        assert None not in batched(server, out, requests)


def test_a_model_without_batches_and_a_batch_of_another_model_are_refused(tmp_path):
    out = tmp_path / "a.jsonl"
    with pytest.raises(AssessorError, match="cannot be asked in batches"):
        assess_in_batches(questions(2), AssessmentSettings(assessor="ollama/llama3.1"), prompt=PROMPT, out=out)
    with BatchServer(answer) as server:
        server.lost = 1
        with pytest.raises(AssessorError, match="may be under way"):
            batched(server, out, questions(3))
        with pytest.raises(AssessorError, match="batch of another model"):
            batched(server, out, questions(3), assessor="openai/gpt-4o")
    batch_path(out).write_text("{}")
    with pytest.raises(AssessorError, match="malformed"):
        batched(server, out, questions(3))


KILLED = """
import sys
from pathlib import Path
import test_batch
class Server: url = sys.argv[1]
test_batch.batched(Server, Path(sys.argv[2]), test_batch.questions(20), sleep=test_batch.time.sleep)
"""


def test_a_job_that_is_killed_while_it_waits_finds_its_batch_again(tmp_path):
    requests, out = questions(20), tmp_path / "a.jsonl"
    here = os.environ | {"PYTHONPATH": os.pathsep.join(["tests", *sys.path])}
    with BatchServer(answer) as server:
        server.polls = 10**6
        process = subprocess.Popen([sys.executable, "-c", KILLED, server.url, str(out)], cwd=Path(__file__).parent.parent, env=here)
        deadline = time.monotonic() + 60
        while not any(server._looked.values()) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.kill()
        process.wait()
        spend = read_spend(journal_path(out))
        assert (len(read_answers(out)), spend.requests, spend.unsettled) == (1, 20, 19)
        server.polls = 0
        found = batched(server, out, requests)
        assert is_right(requests, found) and None not in found and len(server.batches) == 1 and len(server.requests) == 20
        assert read_spend(journal_path(out)).cost == pytest.approx(half_billed(server))


def test_a_job_that_is_killed_while_it_reads_keeps_each_answer_once(tmp_path, monkeypatch):
    requests, out = questions(12), tmp_path / "a.jsonl"
    kept = []
    keep = batch_work.append_answer

    def die(*arguments):
        keep(*arguments)
        kept.append(arguments)
        if len(kept) == 6:
            raise KeyboardInterrupt

    with BatchServer(answer) as server:
        monkeypatch.setattr(batch_work, "append_answer", die)
        with pytest.raises(KeyboardInterrupt):
            batched(server, out, requests)
        monkeypatch.setattr(batch_work, "append_answer", keep)
        found = batched(server, out, requests)
        assert is_right(requests, found) and None not in found and len(out.read_text().splitlines()) == 12
        assert len(server.requests) == 12 and read_spend(journal_path(out)).cost == pytest.approx(half_billed(server))


def test_a_batch_of_this_process_is_taken_over_with_what_was_counted_for_it(tmp_path):
    with Journal(tmp_path / "spend.jsonl", {"a", "b"}, Limits(max_tokens=400)) as journal:
        call = journal.reserve("a", Usage(100, 10, None))
        journal.take_over([call])
        journal.settle(call, Usage(200, 10, None))
        # Twice as many tokens were billed as counted: the next call may take as much more.
        with pytest.raises(SpendLimitError, match="max_tokens"):
            journal.reserve("b", Usage(100, 10, None), wait=False)
