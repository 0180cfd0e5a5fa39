"""Assessing at scale, over a real local server that fails as providers do: nothing is lost, nothing paid twice, no limit passed."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from assess_world import INPUT, OUTPUT, PROMPT, answer, billed, is_right, job, questions, quick  # noqa: F401

from score_rag.documents.describer import Describer
from score_rag.errors import AssessorError, InputError, SpendLimitError
from score_rag.prompts import find_prompt
from score_rag.reranker import asking, forms
from score_rag.reranker.answers import errors_path, read_answers, read_failures, read_rows, write_answers
from score_rag.reranker.assess import assess, planned_calls
from score_rag.reranker.examples import sample_requests
from score_rag.reranker.settings import AssessmentSettings
from score_rag.reranker.spend import Journal, Limits, Usage, journal_path, read_spend
from score_rag.testing import ChatServer
from score_rag.testing.chat_server import FAULTS, fault_plan

# LiteLLM's own types make pydantic warn when they are first used.
pytestmark = [pytest.mark.filterwarnings("ignore:Item .* on TypedDict class:UserWarning"), pytest.mark.usefixtures("quick")]


def test_a_job_on_a_server_that_fails_in_every_way_ends_and_its_answers_are_those_of_one_that_never_does(tmp_path):
    requests, out = questions(60), tmp_path / "assessments.jsonl"
    with ChatServer(answer) as server:
        calm = job(server, tmp_path / "calm.jsonl", requests)
        assert len(server.requests) == 60 and read_spend(journal_path(tmp_path / "calm.jsonl")).cost == pytest.approx(billed(server))
    with ChatServer(answer, fault=fault_plan(0.3, seed=1), late=1.3) as server:
        found = job(server, out, requests, timeout=1)
        assert len(server.requests) <= 3 * 60 and is_right(requests, found) and sum(one is None for one in found) < 10
        lost = {key: row["outcome"] for key, row in read_failures(errors_path(out)).items()}
        assert len(lost) == found.count(None) and set(lost.values()) <= set(asking.OUTCOMES)
        spend = read_spend(journal_path(out))
        assert spend.requests == len(server.requests) and spend.cost >= billed(server) - 1e-12
        rounds = 1
        while None in found:
            before = len(server.requests)
            waiting = found.count(None)
            found = job(server, out, requests, timeout=1)
            rounds += 1
            assert len(server.requests) - before <= 3 * waiting, "only those without an answer are asked again"
        assert rounds < 6 and not errors_path(out).exists()
        before = len(server.requests)
        assert job(server, out, requests) == found == calm and len(server.requests) == before
    assert len(out.read_text().splitlines()) == 60
    row, _ = read_rows(out).popitem()[1]
    assert row["cost"] == pytest.approx(row["prompt_tokens"] * INPUT + row["completion_tokens"] * OUTPUT) and row["cost"] > 0
    settings_ = AssessmentSettings(assessor="openai/gpt-4o-mini")
    for name, answers in (("a", found), ("b", calm)):
        write_answers(requests, answers, settings_, prompt=PROMPT, out=tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        *((fault, "unavailable") for fault in ("busy", "error", "timeout", "drip", "reset")),
        *((fault, "invalid") for fault in ("half", "schema", "empty")),
        ("refusal", "refused"),
        ("filter", "filtered"),
    ],
)
def test_each_failure_that_stays_is_kept_with_its_outcome_and_the_job_goes_on(tmp_path, fault, outcome):
    requests, out = questions(3), tmp_path / "a.jsonl"
    with ChatServer(answer, fault=lambda count: fault if count in (0, 1) else None, late=0.8) as server:
        found = job(server, out, requests, concurrency=1, retries=1, timeout=0.5)
        assert found[0] is None and None not in found[1:] and len(server.requests) == 4
        (row,) = read_failures(errors_path(out)).values()
        assert (row["user_id"], row["item_id"], row["outcome"]) == ("user-0", "item-0", outcome) and row["reason"]
        assert planned_calls(requests, AssessmentSettings(assessor="openai/gpt-4o-mini"), prompt=PROMPT, out=out) == 1
        spend = read_spend(journal_path(out))
        unseen = 2 if fault in ("timeout", "drip", "reset") else 0
        assert (spend.requests, spend.unsettled) == (4, unseen) and spend.cost >= billed(server) - 1e-12
        assert is_right(requests, job(server, out, requests)) and len(server.requests) == 5 and not errors_path(out).exists()


def test_too_many_failures_stop_the_job_and_keep_the_answers(tmp_path):
    requests, out = questions(40), tmp_path / "a.jsonl"
    with ChatServer(answer, fault=lambda count: "schema" if count >= 10 else None) as server:
        with pytest.raises(AssessorError, match=r"\d of 40 questions got no valid answer") as caught:
            job(server, out, requests, max_failed=0.1, concurrency=2, retries=0)
        assert "10 of 40 answers are kept" in str(caught.value) and "at most 10%" in str(caught.value)
        assert 5 <= len(read_failures(errors_path(out))) <= 7 and len(server.requests) <= 17
        assert caught.value.where == str(errors_path(out)) and caught.value.exit_code == 1


def test_a_wait_that_the_server_asks_for_holds_back_every_call(tmp_path):
    times = []

    def fault(count):
        times.append(time.monotonic())
        return "busy-after" if count == 0 else None

    with ChatServer(answer, fault=fault, retry_after=0.5) as server:
        assert None not in job(server, tmp_path / "a.jsonl", questions(3), concurrency=1)
    assert times[1] - times[0] >= 0.5


@pytest.mark.parametrize("limits", [Limits(max_cost=0.0012), Limits(max_requests=23), Limits(max_tokens=4000)], ids=str)
def test_no_limit_is_passed_and_a_higher_one_goes_on(tmp_path, limits):
    requests, out = questions(60), tmp_path / "a.jsonl"
    with ChatServer(answer, fault=fault_plan(0.3, seed=2, kinds=[kind for kind in FAULTS if kind not in ("timeout", "drip")])) as server:
        for _ in range(2):
            # What was spent before counts: the second time there is no room left.
            with pytest.raises(SpendLimitError, match="the limit max_") as caught:
                job(server, out, requests, limits, max_answer_tokens=100)
        assert caught.value.exit_code == 3 and "answers are kept" in str(caught.value)
        spend = read_spend(journal_path(out))
        assert spend.beyond(limits) is None and 0 < len(read_answers(out)) < 60
        assert limits.max_cost is None or billed(server) - 1e-12 <= spend.cost <= limits.max_cost
        assert limits.max_requests is None or len(server.requests) == limits.max_requests
        assert limits.max_tokens is None or sum(map(sum, server.billed)) <= limits.max_tokens
        kept = set(read_answers(out))
        server.fault = lambda count: None
        assert None not in job(server, out, requests, max_answer_tokens=100) and kept <= set(read_answers(out))


def test_a_limit_on_cost_is_refused_where_no_price_is_known(tmp_path):
    with ChatServer(answer) as server:
        with pytest.raises(InputError, match="none is known"):
            job(server, tmp_path / "a.jsonl", questions(2), Limits(max_cost=1.0), assessor="openai/nobody-knows-it")
        assert not server.requests and not list(tmp_path.iterdir())
        assert None not in job(server, tmp_path / "a.jsonl", questions(2), Limits(max_requests=2), assessor="openai/nobody-knows-it")
        assert read_spend(journal_path(tmp_path / "a.jsonl")).unpriced == 2


def test_what_a_killed_job_had_reserved_counts_as_spent(tmp_path):
    path, usage = tmp_path / "a.spend.jsonl", Usage(100, 50, 0.002)
    with Journal(path, ["k"], Limits()) as journal:
        journal.settle(journal.reserve("k", usage), Usage(90, 10, 0.001))
        journal.reserve("k", usage)
    path.write_text(path.read_text() + '{"call": "torn", "key": "k", "sta')
    spend = read_spend(path)
    assert (spend.requests, spend.prompt_tokens, spend.completion_tokens, spend.unsettled) == (2, 190, 60, 1)
    assert spend.cost == pytest.approx(0.003)
    with Journal(path, ["k"], Limits(max_cost=0.004)) as journal, pytest.raises(SpendLimitError):
        journal.reserve("k", usage)
    with Journal(path, ["other"], Limits(max_cost=0.004)) as journal:
        journal.reserve("other", usage)
    assert read_spend(path).requests == 3 and read_spend(path, ["k"]).requests == 2
    path.write_text("rubbish\n")
    with pytest.raises(AssessorError, match="journal of spend"):
        read_spend(path)


def test_a_provider_that_counts_more_tokens_than_we_do_is_believed():
    usage = Usage(100, 50, 0.01)
    with Journal(None, [], Limits(max_tokens=600)) as journal:
        journal.settle(journal.reserve("k", usage), Usage(200, 10, 0.02))
        journal.lose(journal.reserve("k", usage))
        assert journal.spend.prompt_tokens == 400 and journal.spend.cost == pytest.approx(0.04)
        with pytest.raises(SpendLimitError, match="limit max_tokens"):
            journal.reserve("k", usage)


def test_a_model_that_cannot_be_asked_stops_the_job_at_once_unless_it_has_answered(tmp_path):
    with ChatServer(answer) as server:
        reply = server.reply
        server.reply = lambda body: (403, {"error": {"message": "no"}}, {}, 0) if len(server.requests) > 3 else reply(body)
        assert job(server, tmp_path / "a.jsonl", questions(8), concurrency=1).count(None) == 4
        forms._worked.clear()
        with pytest.raises(AssessorError, match="could not be asked"):
            job(server, tmp_path / "a.jsonl", questions(8), concurrency=1)
    with pytest.raises(AssessorError, match="could not be asked") as caught:
        assess(questions(1), AssessmentSettings(assessor="nobody/nothing"), prompt=PROMPT, out=tmp_path / "b.jsonl")
    assert "openai/gpt-4o-mini" in str(caught.value)


@pytest.mark.parametrize("supports", [("json_schema",), ("tool", "json_object"), ("json_object",), ()], ids=str)
def test_the_form_that_works_is_found_and_remembered(tmp_path, supports):
    used = forms.FORMS.index(supports[0]) if supports else 3
    with ChatServer(lambda body: f"<think>{{}}</think>Sure!\n```json\n{answer(body)}\n```", supports=supports) as server:
        assert is_right(questions(4), job(server, tmp_path / "a.jsonl", questions(4), concurrency=1))
        assert len(server.requests) == 4 + used and len(server.billed) == 4
        last = server.requests[-1]
        asked = "tool" if last.get("tools") else last.get("response_format", {}).get("type", "text")
        assert asked == forms.FORMS[used]
        job(server, tmp_path / "b.jsonl", questions(1))
        assert len(server.requests) == 5 + used


def test_providers_are_told_no_user(tmp_path):
    import litellm

    seen = []
    litellm.success_callback = [lambda kwargs, *more: seen.append(kwargs)]
    try:
        with ChatServer(answer) as server:
            job(server, tmp_path / "a.jsonl", questions(3))
            deadline = time.monotonic() + 5
            while len(seen) < 3 and time.monotonic() < deadline:
                time.sleep(0.02)
            assert not any(f"{word}-{n}" in json.dumps(body) for body in server.requests for word in ("user", "item") for n in range(3))
        assert len(seen) == 3 and not any("user-" in repr(kwargs) for kwargs in seen)
    finally:
        litellm.success_callback = []


def test_the_same_question_twice_is_asked_once(tmp_path):
    requests = [*questions(2), *questions(2)]
    with ChatServer(answer) as server:
        found = job(server, tmp_path / "a.jsonl", requests)
        assert len(server.requests) == 2 and found[:2] == found[2:] and None not in found


def test_pairs_are_drawn_from_training_in_its_own_proportions(toy):
    describer = Describer(find_prompt("describe_user"), toy.catalogue)
    drawn = sample_requests(toy, describer, 60, seed=4)
    assert drawn == sample_requests(toy, describer, 60, seed=4) != sample_requests(toy, describer, 60, seed=5)
    assert set(sample_requests(toy, describer, 40, seed=4)) < set(drawn), "what was paid for is asked again by no larger job"
    training = [event for event in toy.rows("train") if len(toy.train_log.earlier(event)) >= 3]
    assert len(drawn) == 60 == len({one.event.row for one in drawn}) and {one.event for one in drawn} <= set(training)

    def shares(events):
        known = [len(toy.train_log.earlier(event)) for event in events]
        return np.array([np.mean([event.liked for event in events]), np.mean(known)])

    # Sixty drawn at random are off by .05 and .30.
    off = [abs(shares([one.event for one in sample_requests(toy, describer, 60, seed=n)]) - shares(training)) for n in range(10)]
    assert np.mean(off, axis=0)[0] < 0.02 and np.mean(off, axis=0)[1] < 0.2
    assert len(sample_requests(toy, describer, 10**6)) == len(training)
