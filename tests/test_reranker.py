"""SARE: assessments over a real local HTTP server, the offline assessor, the trained reranker."""

from __future__ import annotations

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import QueryBundle

from score_rag import SelfAssessingReranker, UserQuery
from score_rag.data.log import Event
from score_rag.errors import AssessorError, InputError, ModelError
from score_rag.prompts import find_prompt
from score_rag.reranker.assess import AssessmentRequest, assess, planned_calls, read_answers
from score_rag.reranker.offline import OfflineAssessor
from score_rag.reranker.settings import AssessmentSettings
from score_rag.reranker.torch_scorer import BulkScorer, bulk_scorer

REQUESTS = [AssessmentRequest(Event(str(n), "1", True, 100), f"Liked: Film {n}.", "Heat (1995). Crime.") for n in range(4)]
ASKING = AssessmentSettings(assessor="openai/test", concurrency=1, retries=1, timeout=10)
GOOD = '{"characteristics": ["likes heist films"], "reason": "because"}'


@pytest.fixture
def server():
    """An OpenAI-compatible server that answers what the test tells it to."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            box.asked.append(asked)
            status, text = box.answer(len(box.asked), asked)
            body = {
                "id": "1",
                "object": "chat.completion",
                "created": 1,
                "model": "m",
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            }
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
            body["choices"] = [] if text is None else [choice]
            raw = json.dumps(body if status == 200 else {"error": {"message": text}}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *args):
            pass

    box = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    box.asked, box.answer = [], lambda count, asked: (200, GOOD)
    thread = threading.Thread(target=box.serve_forever, daemon=True)
    thread.start()
    yield box
    box.shutdown()
    box.server_close()
    thread.join()


def ask(server, out, requests=REQUESTS, **more):
    settings = ASKING.changed(api_base=f"http://127.0.0.1:{server.server_port}/v1", **more)
    return assess(requests, settings, prompt=find_prompt("assess"), out=out)


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")


def test_answers_are_asked_once_kept_and_in_order(server, tmp_path):
    server.answer = lambda count, asked: (200, GOOD.replace("heist", asked["messages"][0]["content"].split("Film ")[1][0]))
    found = ask(server, tmp_path / "a.jsonl", concurrency=3)
    assert [one.text() for one in found] == [f"likes {n} films" for n in range(4)]
    assert ask(server, tmp_path / "a.jsonl") == found and len(server.asked) == 4
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 4
    ask(server, tmp_path / "a.jsonl", assessor="openai/other")
    assert len(server.asked) == 8, "another model's answers are other answers"


def test_a_wrapped_answer_is_read_and_a_malformed_one_asked_again(server, tmp_path):
    server.answer = lambda count, asked: (200, f"Sure! ```json\n{GOOD}\n```" if count > 1 else "I cannot say")
    assert ask(server, tmp_path / "a.jsonl", REQUESTS[:1])[0].characteristics == ["likes heist films"]
    assert "not the JSON asked for" in server.asked[1]["messages"][-1]["content"]


@pytest.mark.parametrize("rubbish", ['{"characteristics": []}', "", "\x00\x01", "[1, 2]", None], ids=repr)
def test_rubbish_ends_with_an_error_and_keeps_what_was_paid_for(server, tmp_path, rubbish):
    server.answer = lambda count, asked: (200, GOOD if count <= 2 else rubbish)
    with pytest.raises(AssessorError, match="1 of 4 questions got no valid answer") as caught:
        ask(server, tmp_path / "a.jsonl")
    assert "2 of 4 answers are kept" in caught.value.hint
    server.answer = lambda count, asked: (200, GOOD)
    before = len(server.asked)
    assert len(ask(server, tmp_path / "a.jsonl")) == 4 and len(server.asked) == before + 2


def test_a_server_that_fails_is_named(server, tmp_path):
    server.answer = lambda count, asked: (401, "no such key")
    with pytest.raises(AssessorError, match="could not be asked"):
        ask(server, tmp_path / "a.jsonl", REQUESTS[:1])


def test_a_torn_last_line_is_asked_again_and_a_broken_one_before_it_is_named(server, tmp_path):
    out = tmp_path / "a.jsonl"
    found = ask(server, out)
    whole = out.read_text()
    out.write_text(whole[:-20])
    assert len(read_answers(out)) == 3
    assert ask(server, out) == found and len(server.asked) == 5 and len(out.read_text().splitlines()) == 4
    out.write_text("rubbish\n" + whole)
    with pytest.raises(AssessorError, match="line 1"):
        read_answers(out)


def test_the_offline_assessor_says_what_it_is_and_reads_nothing_later(toy):
    assessor = OfflineAssessor(toy)
    event = next(event for event in toy.rows("train") if len(toy.log.before(event.user_id, event.timestamp)) >= 5)
    facts = {"user_id": event.user_id, "item_id": event.item_id, "as_of": event.timestamp}
    answer = assessor.answer(facts)
    assert "rule-based" in json.loads(answer)["reason"]
    import polars as pl

    from score_rag.data.interactions import Interactions

    flipped = toy.events.with_columns(
        label=pl.when(pl.col("timestamp") >= event.timestamp).then(1 - pl.col("label")).otherwise(pl.col("label"))
    )
    assert OfflineAssessor(Interactions(flipped, toy.items)).answer(facts) == answer
    late = assessor.judged_alike("0", toy.train_end, 4)
    assert late and np.mean([int(item) % 2 == 0 for item in late]) > 0.7


def test_the_offline_assessor_answers_in_a_model_s_place_and_changes_nothing_that_others_use(server, toy, tmp_path):
    import litellm

    providers = litellm.custom_provider_map
    events = [event for event in toy.rows("train") if toy.log.before(event.user_id, event.timestamp)][:12]
    requests = [AssessmentRequest(event, f"Liked: Film {event.item_id}.", "Merry Street (1982).") for event in events]
    assessor, seen = OfflineAssessor(toy), []

    def answer_offline(conversation, request):
        # In the midst of it, another thread asks a model of its own.
        seen.append(litellm.custom_provider_map is providers)
        assert ask(server, tmp_path / f"{request.user_id}-{request.as_of}.jsonl", REQUESTS[:1])[0].characteristics == ["likes heist films"]
        return assessor.ask(conversation, request)

    found = assess(requests, AssessmentSettings(), prompt=find_prompt("assess"), out=tmp_path / "own.jsonl", ask=answer_offline)
    assert [one.characteristics for one in found] == [assessor.characteristics(r.user_id, r.item_id, r.as_of) for r in requests]
    assert seen == [True] * len(requests) and litellm.custom_provider_map is providers


def test_planned_calls_are_those_that_would_be_made(server, tmp_path):
    where = {"prompt": find_prompt("assess"), "out": tmp_path / "a.jsonl"}
    ask(server, tmp_path / "a.jsonl", REQUESTS[:3], temperature=0.5)
    assert planned_calls(REQUESTS, ASKING.changed(temperature=0.5), **where) == 1
    assert planned_calls(REQUESTS, ASKING, **where) == 4


def test_it_returns_fresh_nodes_best_first_and_keeps_the_retriever_s_score(toy_parts):
    nodes = toy_parts.retriever.retrieve(UserQuery(user_id="0"))
    query = UserQuery("Liked: Sunny Garden.", user_id="0", target="Merry Street (1982). Comedy.")
    reranker = SelfAssessingReranker.from_pretrained(toy_parts.folder("reranker"), top_n=3)
    kept = reranker.postprocess_nodes(nodes, query_bundle=query)
    assert len(kept) == 3 and [n.score for n in kept] == sorted((n.score for n in kept), reverse=True)
    by_id = {n.node_id: n for n in nodes}
    assert all(n.metadata["retriever_score"] == by_id[n.node_id].score and "retriever_score" not in by_id[n.node_id].metadata for n in kept)
    alone = [reranker.postprocess_nodes([n], query_bundle=query)[0].score for n in nodes]
    np.testing.assert_allclose(sorted(alone, reverse=True)[:3], [n.score for n in kept], atol=1e-5)
    assert [n.node_id for n in asyncio.run(reranker.apostprocess_nodes(nodes, query_bundle=query))] == [n.node_id for n in kept]
    with pytest.raises(InputError, match="needs the question"):
        reranker.postprocess_nodes(nodes)
    with pytest.raises(ModelError):
        SelfAssessingReranker.from_pretrained(toy_parts.folder("retriever"))


def test_both_parts_work_in_a_query_engine(toy_parts):
    engine = RetrieverQueryEngine.from_args(
        toy_parts.retriever,
        node_postprocessors=[SelfAssessingReranker.from_pretrained(toy_parts.folder("reranker"), top_n=2)],
        llm=MockLLM(),
    )
    answer = engine.query(UserQuery("Liked: Sunny Garden; Merry Street.", user_id="0"))
    assert len(answer.source_nodes) == 2 and all(n.metadata["user_id"] != "0" for n in answer.source_nodes)
    assert answer.source_nodes[0].text in str(answer)
    assert len(engine.query(QueryBundle("Liked: Dark Garden.")).source_nodes) == 2


def test_the_served_cross_encoder_is_the_trained_one(toy_parts):
    from sentence_transformers import CrossEncoder

    folder = toy_parts.folder("reranker") / "model"
    texts = toy_parts.retriever.index.documents["text"].to_list()[:6]
    theirs = CrossEncoder(str(folder), local_files_only=True, device="cpu").predict(
        [("Liked: A.", text) for text in texts], show_progress_bar=False
    )
    ours = toy_parts.scorer.score_pairs(["Liked: A."] * 6, texts)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_many_pairs_are_scored_by_torch_to_the_same_numbers(toy_parts, monkeypatch):
    scorer = toy_parts.scorer
    monkeypatch.setattr("score_rag.reranker.torch_scorer.fast_bfloat16", lambda: False)
    assert torch.cuda.is_available() or bulk_scorer(scorer) is scorer
    queries = [f"Will this user like Film {n}? Liked: Dark Garden (1981); Film {n % 3}." for n in range(40)]
    behaviours = [f"Liked: Sunny Garden (1980). Often likes {'Horror' if n % 2 else 'Comedy'}. " * (1 + n % 5) for n in range(40)]
    expected = scorer.score_pairs(queries, behaviours)
    found = BulkScorer(scorer.folder, max_tokens=scorer.max_tokens).score_pairs(queries, behaviours)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert expected.std() > 1e-4
    monkeypatch.setattr("score_rag.reranker.torch_scorer.fast_bfloat16", lambda: True)
    half = bulk_scorer(scorer).score_pairs(queries, behaviours)
    np.testing.assert_allclose(half, expected, atol=0.02)
    assert half.dtype == np.float32 and not np.array_equal(half, expected)
