"""The server, in-process: what it answers, what it refuses and how, what it takes in, and what it never says."""

from __future__ import annotations

import asyncio
import logging
import re
import shlex
import threading
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from filelock import FileLock

from score_rag import open_recommender
from score_rag.cli.feedback import exported, reported
from score_rag.crm.interface import UserHistory
from score_rag.errors import InputError
from score_rag.explain.explainer import explain_question
from score_rag.pipeline import serving_index
from score_rag.pipeline.fresh import open_feedback
from score_rag.pipeline.guard import Guard
from score_rag.pipeline.routes import ANSWERED_BY, KNOWN, ROUTES
from score_rag.serve.app import create_app
from score_rag.serve.safety import Guarded
from score_rag.serve.service import Service
from score_rag.serve.settings import ServeSettings

KEY = "k" * 20


@asynccontextmanager
async def serving(pipeline, **settings):
    """A client of an application that is loaded."""
    service = Service(pipeline, ServeSettings(**{"refresh": 0.05, **settings}))
    app = create_app(service)
    await service.start()
    try:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", timeout=60) as client:
            while (await client.get("/health/ready")).status_code != 200:
                assert service.failure is None
                await asyncio.sleep(0.02)
            client.service = service
            yield client
    finally:
        await service.stop()


async def posted(client, path, status=200, **body):
    answer = await client.post(path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_answers_are_those_of_the_library_and_say_where_they_come_from(fresh):
    library = open_recommender(fresh)
    async with serving(fresh) as client:
        seen = {event.item_id for event in library.run.histories.log.of("0")}
        free = next(item for item in library.run.histories.catalogue if item not in seen)
        told = await posted(client, "/v1/explain", user_id="0", item=free)
        own = library.recommend("0", free)
        assert told["result"]["probability"] == pytest.approx(own.probability, abs=1e-5)
        assert told["result"]["prompt"] == own.prompt and told["result"]["neighbours"][0]["in_common"] is not None
        about = told["about"]
        assert about["route"] == "personalised" and about["why"] and about["index_generation"] == 0
        assert set(about["models"]) == {"data", "crm", "documents", "retriever", "reranker", "predictor"}
        assert all(len(digest) == 16 for digest in about["models"].values())
        assert {"look-up", "waiting", "neighbours", "prompt", "predictor", "all"} <= set(about["seconds"])
        ranked = (await client.get("/v1/recommend/1", params={"n": 4})).json()
        assert [one["item_id"] for one in ranked["results"]] == [one.item.item_id for one in library.top("1", 4)]
        assert [one["rank"] for one in ranked["results"]] == [1, 2, 3, 4]
        rest = (await client.get("/v1/recommend/1", params={"n": 2, "offset": 2})).json()
        assert [one["item_id"] for one in rest["results"]] == [one["item_id"] for one in ranked["results"]][2:]
        scored = await posted(client, "/v1/score", user_id="1", items=[one["item_id"] for one in ranked["results"]], rerank=False)
        assert [one["probability"] for one in scored["results"]] == pytest.approx(
            [one["probability"] for one in ranked["results"]], abs=1e-5
        )
        assert all(one["left_out"] == "" for one in scored["results"])
        near = (await client.get("/v1/neighbours/0", params={"n": 3})).json()["results"]
        assert len(near) == 3 and "0" not in [one["user_id"] for one in near] and near[0]["similarity"] >= near[1]["similarity"]


async def test_routes_and_the_four_answers_that_are_no_list(fresh):
    """Unknown, not yet indexed, empty and error differ."""
    async with serving(fresh) as client:
        fallback = await posted(client, "/v1/recommend", n=3)
        assert fallback["about"]["route"] == "fallback" and len(fallback["results"]) == 3
        stranger = await posted(client, "/v1/recommend", history=["0", "2", "-1"], n=3)
        assert stranger["about"]["route"] == "history only" and stranger["about"]["status"] == "ok"
        assert not {one["item_id"] for one in stranger["results"]} & {"0", "1", "2"}
        unknown = await client.get("/v1/recommend/nobody")
        assert unknown.status_code == 404 and unknown.json()["error"]["kind"] == "unknown_user"
        await posted(client, "/v1/feedback", user_id="nobody", item_id="4", liked=True)
        late = (await client.get("/v1/recommend/nobody")).json()
        assert late["about"]["status"] == "not_indexed" and late["about"]["route"] == "history only" and late["results"]
        empty = (await client.get("/v1/recommend/1", params={"category": "Western"})).json()
        assert empty["results"] == [] and empty["about"]["status"] == "empty"
        before = (await client.get("/v1/neighbours/1", params={"as_of": "1999-01-01"})).json()
        assert before["about"]["status"] == "empty" and before["about"]["route"] == "fallback"
        wrong = await client.get("/v1/recommend/1", params={"as_of": "soon"})
        assert wrong.status_code == 422 and wrong.json()["error"]["kind"] == "invalid"
        lost = await client.post("/v1/score", json={"user_id": "1", "items": ["1", "zzz", "yyy"]})
        assert lost.status_code == 404 and lost.json()["error"]["kind"] == "unknown_item" and "zzz, yyy" in lost.text
        assert (await client.get("/v1/nothing")).json()["error"]["kind"] == "unknown_path"
        both = await client.post("/v1/score", json={"user_id": "1", "history": "0", "items": ["1"]})
        assert both.status_code == 422


async def test_what_was_seen_is_ranked_among_the_others_where_it_may_come_again(fresh, monkeypatch):
    monkeypatch.setattr("score_rag.serve.asking._LEAST", 2)
    async with serving(fresh) as client:
        run = client.service.run
        seen = {event.item_id for event in run.histories.log.of("0")}
        (scores,) = run.crm.score_places([UserHistory(run.histories.log.of("0"), "0")], [np.arange(len(run.crm.item_ids))])
        best = {run.crm.item_ids[place] for place in np.argsort(-scores, kind="stable")[:4].tolist()}
        assert best & seen, "the toy's users are best at what they judged"
        found = (await posted(client, "/v1/recommend", user_id="0", n=2, exclude_seen=False))["results"]
        assert {one["item_id"] for one in found} <= best
        others = (await posted(client, "/v1/recommend", user_id="0", n=2))["results"]
        assert len(others) == 2 and not {one["item_id"] for one in others} & seen


async def test_requests_that_are_malformed_by_their_address_or_headers(fresh):
    async with serving(fresh) as client:
        for long in ("", "x" * 2000):
            answer = await client.get("/v1/recommend/0", params={"category": long})
            assert answer.status_code == 422 and answer.json()["error"]["kind"] == "invalid", answer.text
        for deadline in ("\u00b2", "9" * 5000, "-1", "soon"):
            headers = {"x-deadline-ms": deadline.encode("latin-1")}
            assert (await client.post("/v1/score", json={"user_id": "1", "items": ["1"]}, headers=headers)).status_code == 200
        assert (await client.request("BREW", "/v1/score")).status_code == 405
        assert "BREW" not in (await client.get("/metrics")).text
        nan = b'{"user_id": "1", "item_id": "1", "rating": NaN}'
        answer = await client.post("/v1/feedback", content=nan, headers={"content-type": "application/json"})
        assert answer.status_code == 422


async def test_an_answer_outlives_the_report_s_disk(fresh, monkeypatch, caplog):
    def full(*_):
        raise OSError(28, "No space left on device")

    async with serving(fresh) as client:
        monkeypatch.setattr("score_rag.serve.requests_log.os.write", full)
        with caplog.at_level(logging.ERROR, logger="score_rag.serve"):
            assert (await posted(client, "/v1/score", user_id="1", items=["1"]))["results"]
        assert "is not kept for the report" in caplog.text


async def test_categories_candidates_and_what_was_seen(fresh):
    async with serving(fresh) as client:
        some = await posted(client, "/v1/recommend", user_id="0", categories=["comedy"], n=5)
        assert some["results"] and all(int(one["item_id"]) % 2 == 0 for one in some["results"])
        seen = client.service.run.histories.log.of("0")[0].item_id
        assert (await posted(client, "/v1/recommend", user_id="0", candidates=[seen]))["results"] == []
        assert len((await posted(client, "/v1/recommend", user_id="0", candidates=[seen], exclude_seen=False))["results"]) == 1


async def test_feedback_is_taken_once_put_overwrites_and_answers_know_it_at_once(fresh):
    async with serving(fresh) as client:
        one = {"event_id": "e1", "user_id": "new", "item_id": "4", "liked": True, "timestamp": 1_700_000_000}
        assert (await posted(client, "/v1/feedback", **one))["added"] == ["e1"]
        assert (await posted(client, "/v1/feedback", **one | {"liked": False}))["known"] == ["e1"]
        known = (await client.get("/v1/users/new")).json()
        (shown,) = known["user"]["history"]
        assert (shown["item_id"], shown["liked"], shown["timestamp"]) == ("4", True, 1_700_000_000)
        assert known["user"]["indexed"] is False and known["about"]["status"] == "not_indexed"
        put = await client.put("/v1/feedback", json=one | {"liked": False})
        assert put.json()["replaced"] == ["e1"]
        assert (await client.get("/v1/users/new")).json()["user"]["liked"] == 0
        bulk = [{"user_id": "new", "item_id": str(n), "rating": 2.0 + n, "timestamp": "2023-11-14"} for n in range(4)]
        answer = await client.post("/v1/feedback", json=bulk)
        assert len(answer.json()["added"]) == 4
        assert (await client.post("/v1/feedback", json=bulk)).json()["known"] == answer.json()["added"]
        assert (await client.get("/v1/users/new")).json()["user"]["liked"] == 2, "ratings of 4 and 5, by data.threshold"
        kite = {"title": "Sunny <Kite>", "year": 1990, "genres": ["Comedy"]}
        await posted(client, "/v1/feedback", user_id="3", item_id="kite", liked=True, item=kite)
        item = (await client.get("/v1/items/kite")).json()["item"]
        assert (item["name"], item["judged"], item["trained"]) == ("Sunny ‹Kite› (1990)", 1, False)
        assert (await posted(client, "/v1/explain", user_id="0", item="kite"))["about"]["route"] == "cold item"
        for wrong in ({"liked": None}, {"rating": 3}, {"timestamp": 99_999_999_999}, {"stranger": 1}):
            assert (await client.post("/v1/feedback", json=one | wrong)).status_code == 422


async def test_feedback_is_forgotten_at_once_by_every_worker_and_can_be_asked_for_again(fresh):
    async with serving(fresh) as client, serving(fresh) as other:
        before = (await other.get("/v1/items/4")).json()["item"]
        owner = next(user for user in client.service.run.histories.log.users if client.service.run.histories.log.first(user, "4") is None)
        bulk = [{"event_id": f"e/{n}", "user_id": "new", "item_id": "4", "liked": n > 0, "timestamp": 1_700_000_000 + n} for n in range(3)]
        bulk += [{"event_id": "o", "user_id": owner, "item_id": "4", "liked": True, "timestamp": 1_700_000_000}]
        assert (await client.post("/v1/feedback", json=bulk)).status_code == 200
        assert (await other.get("/v1/items/4")).json()["item"]["judged"] == before["judged"] + 4
        assert (await other.get("/v1/users/new")).json()["user"]["judgements"] == 3
        one = await client.delete("/v1/feedback/e/0")
        assert one.status_code == 200 and one.json()["forgotten"] == ["e/0"]
        assert (await other.delete("/v1/feedback/e/0")).json()["forgotten"] == []
        assert (await other.get("/v1/users/new")).json()["user"]["judgements"] == 2
        all_ = await other.delete("/v1/users/new/feedback")
        assert all_.json()["forgotten"] == ["e/1", "e/2"]
        assert (await client.delete("/v1/users/new/feedback")).json()["forgotten"] == []
        for one in (client, other):
            assert (await one.get("/v1/users/new")).status_code == 404
        assert (await client.get("/v1/items/4")).json()["item"]["judged"] == before["judged"] + 1, "of others all stays"
        assert (await client.delete(f"/v1/users/{owner}/feedback")).json()["forgotten"] == ["o"]
        assert (await client.get("/v1/items/4")).json()["item"] == before
        assert (await client.get(f"/v1/users/{owner}")).status_code == 200, "the data's own judgements stay"
        numbers = (await client.get("/metrics")).text
        assert 'score_rag_feedback_total{result="forgotten"} 2.0' in numbers
    async with serving(fresh, api_key=KEY, host="0.0.0.0") as client:
        assert (await client.delete("/v1/users/0/feedback")).status_code == 401
    assert open_feedback(fresh).current() == []


async def test_feedback_waits_no_longer_and_in_no_greater_number_than_answers_do(fresh):
    """While another process writes and does not end."""
    async with serving(fresh, requests=3, deadline=30) as client:
        one = {"event_id": "first", "user_id": "new", "item_id": "4", "liked": True}
        assert (await client.post("/v1/feedback", json=one)).status_code == 200
        lock = FileLock(client.service.feedback.path.with_name(".lock"))
        soon = {"X-Deadline-Ms": "200"}
        with lock:
            held = asyncio.create_task(client.post("/v1/feedback", json=one | {"event_id": "held"}))
            await asyncio.sleep(0.05)
            started = time.perf_counter()
            late = await client.post("/v1/feedback", json=one | {"event_id": "late"}, headers=soon)
            assert late.status_code == 504 and time.perf_counter() - started < 5
            assert (await client.delete("/v1/feedback/first", headers=soon)).status_code == 504
            rest = [asyncio.create_task(client.post("/v1/feedback", json=one | {"event_id": f"rest{n}"})) for n in range(2)]
            await asyncio.sleep(0.05)
            full = await client.post("/v1/feedback", json=one | {"event_id": "full"})
            assert full.status_code == 429 and full.headers["retry-after"]
            # Who reads is not held up by who waits to write.
            client.service.settings = replace(client.service.settings, requests=4)
            assert (await client.get("/v1/users/new")).status_code == 200
        acknowledged = {name for answer in await asyncio.gather(held, *rest) for name in answer.json()["added"]}
        assert acknowledged == {"held", "rest0", "rest1"}
    assert {one.event_id for one in open_feedback(fresh).current()} == {"first", *acknowledged}, "what was late was not begun, nor written"


async def test_a_writer_that_does_not_end_is_no_failure_of_ours(fresh, monkeypatch):
    monkeypatch.setattr("score_rag.feedback.turn._PATIENCE", 0.05)
    async with serving(fresh) as client:
        one = {"event_id": "first", "user_id": "new", "item_id": "4", "liked": True}
        await posted(client, "/v1/feedback", **one)
        with FileLock(client.service.feedback.path.with_name(".lock")):
            answer = await client.post("/v1/feedback", json=one | {"event_id": "second"})
        assert answer.status_code == 503 and answer.headers["retry-after"] and answer.json()["error"]["kind"] == "busy"
        assert (await client.post("/v1/feedback", json=one | {"event_id": "second"})).json()["added"] == ["second"]


async def test_the_report_joins_feedback_with_the_answers_that_it_names(fresh, tmp_path):
    async with serving(fresh) as client:
        for user in ("0", "1", "2", "3"):
            ranked = (await client.get(f"/v1/recommend/{user}", params={"n": 3})).json()
            told = [
                {"user_id": user, "item_id": one["item_id"], "liked": int(one["item_id"]) % 2 == int(user) % 2,
                 "request_id": ranked["about"]["request_id"]}
                for one in ranked["results"]
            ]  # fmt: skip
            assert (await client.post("/v1/feedback", json=told)).status_code == 200
        await posted(client, "/v1/feedback", user_id="0", item_id="1", liked=True, request_id="nobody-knows")
    found = reported(str(fresh.path), [])
    assert (found.feedback, found.named, found.joined, found.damaged) == (13, 13, 12, 0) and found.requests == 4
    (row,) = found.rows
    assert row.route == "personalised" and row.judged == 12 and 0 < row.told < 1
    kept = b"".join(file.read_bytes() for file in (Path(fresh.runs) / "toy" / "feedback").glob("requests-*"))
    assert b"user" not in kept
    assert exported(fresh, tmp_path / "out.csv") == 13
    assert (tmp_path / "out.csv").read_text().startswith("user_id,item_id,label,timestamp\n")


async def test_jina_s_form_orders_items(fresh):
    async with serving(fresh) as client:
        names = [client.service.run.histories.catalogue[item].name for item in ("1", "2", "3")]
        body = {"model": "any", "query": "0", "documents": [*names, {"text": "no film"}], "top_n": 4, "return_documents": True}
        told = await posted(client, "/v1/rerank", **body)
        assert sorted(one["index"] for one in told["results"]) == [0, 1, 2, 3] and told["unknown"] == [3]
        scores = [one["relevance_score"] for one in told["results"]]
        assert scores == sorted(scores, reverse=True) and told["results"][-1] == {
            "index": 3, "relevance_score": 0.0, "document": {"text": "no film"}
        }  # fmt: skip
        by_history = await posted(client, "/v1/rerank", query=f"{names[0]}; -{names[1]}", documents=[names[2]])
        assert by_history["about"]["route"] == "history only"
        lost = await posted(client, "/v1/rerank", 404, query="what is this", documents=names)
        assert lost["error"]["kind"] == "unknown_user"


async def test_jina_s_form_orders_any_texts(fresh):
    """Where no document names an item, by the cross-encoder; as the reranker itself does."""
    async with serving(fresh) as client:
        texts = ["Liked: a sunny comedy.", "", "Disliked: a dark thriller.\nAnd more.", "word " * 5000] + ["one more text"] * 70
        query = "Will this user like a comedy?"
        told = await posted(client, "/v1/rerank", query=query, documents=[texts[0], *({"text": text} for text in texts[1:])])
        own = 1 / (1 + np.exp(-client.service.run.scorer.score_pairs([query] * len(texts), texts).astype(float)))
        assert (
            told["ordered_by"] == "reranker" and told["about"]["route"] == "texts only" and told["about"]["why"] and told["unknown"] == []
        )
        assert "reranker" in told["about"]["seconds"] and "document" not in told["results"][0]
        found = {one["index"]: one["relevance_score"] for one in told["results"]}
        assert [found[place] for place in range(len(texts))] == pytest.approx(own.tolist(), abs=1e-5)
        assert [one["relevance_score"] for one in told["results"]] == sorted(found.values(), reverse=True)
        best = await posted(client, "/v1/rerank", query=query, documents=texts[:3], top_n=1, return_documents=True)
        assert len(best["results"]) == 1 and best["results"][0]["document"] == {"text": texts[best["results"][0]["index"]]}
        name = client.service.run.histories.catalogue["1"].name
        by_history = await posted(client, "/v1/rerank", query=name, documents=texts[:3])
        assert by_history["about"]["route"] == "texts only", "a film's name is a text too"
        as_texts = await posted(client, "/v1/rerank", query="what is this", documents=[name, "text"], by="texts")
        assert as_texts["ordered_by"] == "reranker"
        neither = await posted(client, "/v1/rerank", 404, query="0", documents=texts[:3])
        assert neither["error"]["kind"] == "unknown_item" and "user's id" in neither["error"]["message"]
        empty = await posted(client, "/v1/rerank", query="0", documents=texts[:3], by="items")
        assert empty["about"]["status"] == "empty" and empty["unknown"] == [0, 1, 2]


async def test_score_and_explain_say_the_same_of_the_same_question(fresh):
    """Of new items, of judged ones (as before the judgement), reranked and not, and at a time in the past."""
    async with serving(fresh) as client:
        log = client.service.run.histories.log
        judged = log.of("0")[-1]
        free = next(item for item in client.service.run.histories.catalogue if log.first("0", item) is None)
        differ = False
        for rerank in (True, False):
            more = {} if rerank else {"rerank": False}
            for who in ({"user_id": "0"}, {"user_id": "0", "as_of": judged.timestamp}, {"history": ["2", "-5"]}):
                items = [judged.item_id, free, "1", "2"]
                scored = (await posted(client, "/v1/score", items=items, **who, **more))["results"]
                for item, one in zip(items, scored, strict=True):
                    told = await posted(client, "/v1/explain", item=item, **who, **more)
                    assert told["result"]["probability"] == pytest.approx(one["probability"], abs=1e-5)
                    assert [other["user_id"] for other in told["result"]["neighbours"]] == one["neighbours"]
                    assert (told["as_of"], told["result"]["route"]) == (one["as_of"], one["route"])
                    assert told["result"]["answered_by"] == one["answered_by"] == "predictor"
                    differ |= who == {"user_id": "0"} and item == judged.item_id and told["as_of"] == log.first("0", item).timestamp
        assert differ, "a judged item is asked about as of just before"
        few, many = ["1"] * 20, ["1"] * 21
        for items, more, reranked in ((few, {}, True), (many, {}, False), (many, {"rerank": True}, True), (few, {"rerank": False}, False)):
            assert (await posted(client, "/v1/score", items=items, user_id="0", **more))["reranked"] is reranked
        refused = await posted(client, "/v1/explain", 422, user_id="0", item="1", rerank=False, parts=True)
        assert "reranked" in refused["error"]["message"]


async def test_every_route_is_one_of_the_list_and_the_docs_have_them_all(fresh, monkeypatch):
    async with serving(fresh) as client:
        kite = {"title": "Sunny Kite", "year": 1990}
        await posted(client, "/v1/feedback", user_id="3", item_id="kite", liked=True, item=kite)
        seen = set()
        for path, body in (
            ("/v1/score", {"user_id": "0", "items": ["1", "kite"]}),
            ("/v1/score", {"items": ["1"]}),
            ("/v1/recommend", {"history": ["1"], "n": 2}),
            ("/v1/explain", {"user_id": "0", "item": "kite"}),
            ("/v1/rerank", {"query": "sunny", "documents": ["a text"]}),
        ):
            told = await posted(client, path, **body)
            results = told.get("results", [told.get("result")])
            seen |= {told["about"]["route"], *(one["route"] for one in results if "route" in one)}
            assert {one["answered_by"] for one in results if "answered_by" in one} <= set(ANSWERED_BY)
        assert seen == set(KNOWN)
        monkeypatch.setattr(Guard, "route", "recommender")
        ranked = await posted(client, "/v1/recommend", user_id="1", n=2)
        assert ranked["ordered_by"] == "recommender" and {one["answered_by"] for one in ranked["results"]} == {"recommender"}
    docs = (Path(__file__).parent.parent / "docs" / "serving.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `([a-z -]+)` \| ", docs, re.M) == list(ROUTES) == [*ANSWERED_BY, *KNOWN]


async def test_a_new_generation_is_taken_without_a_gap(fresh):
    async with serving(fresh) as client:
        held = client.service.run
        work = asyncio.get_running_loop().run_in_executor(None, serving_index.build, fresh)
        generations = []
        while not generations or generations[-1] == 0:
            answer = await client.get("/v1/recommend/1", params={"n": 1})
            assert answer.status_code == 200
            generations.append(answer.json()["about"]["index_generation"])
        await work
        assert generations[-1] == 1 and client.service.run.predictor is held.predictor
        assert b"score_rag_index_generation 1.0" in (await client.get("/metrics")).content


async def test_concurrent_requests_are_answered_in_batches_each_as_alone(fresh, monkeypatch):
    from score_rag.predictor.predictor import Predictor

    sizes, real = [], Predictor.score
    monkeypatch.setattr(Predictor, "score", lambda self, prompts, **more: sizes.append(len(prompts)) or real(self, prompts, **more))
    async with serving(fresh) as client:
        alone = [(await posted(client, "/v1/score", user_id=str(n), items=[str(n)]))["results"][0]["probability"] for n in range(8)]
        sizes.clear()
        found = await asyncio.gather(*(posted(client, "/v1/score", user_id=str(n), items=[str(n)]) for n in range(8)))
        assert [one["results"][0]["probability"] for one in found] == pytest.approx(alone, abs=1e-5)
        assert sum(sizes) == 8 and len(sizes) < 8


@asynccontextmanager
async def stuck(client, monkeypatch):
    """The models answer nothing until the block ends; gives what they were asked."""
    from score_rag.predictor.predictor import Predictor

    go, asked, real = threading.Event(), [], Predictor.score

    def score(self, prompts, **more):
        asked.append(len(prompts))
        go.wait(20)
        return real(self, prompts, **more)

    monkeypatch.setattr(Predictor, "score", score)
    try:
        yield asked
    finally:
        go.set()


async def test_too_much_is_refused_what_is_late_says_so_and_nobody_computes_it(fresh, monkeypatch):
    async with serving(fresh, waiting=8, requests=4) as client:
        body = {"user_id": "1", "items": ["1", "2", "3"]}
        async with stuck(client, monkeypatch) as asked:
            first = asyncio.create_task(client.post("/v1/score", json=body))
            while not asked:
                await asyncio.sleep(0.01)
            second = asyncio.create_task(client.post("/v1/score", json=body, headers={"X-Deadline-Ms": "200"}))
            await asyncio.sleep(0.1)
            third = await client.post("/v1/score", json=body)
            assert third.status_code == 429 and int(third.headers["retry-after"]) >= 1 and third.json()["error"]["kind"] == "busy"
            assert (await second).status_code == 504
            assert client.service.batches.waiting == 3, "the late one waits no more, so there is room"
            fourth = asyncio.create_task(client.post("/v1/score", json=body))
            await asyncio.sleep(0.05)
        assert (await first).status_code == 200 and (await fourth).status_code == 200
        assert sum(asked) == 6, "the one that was late was never asked"


async def test_requests_under_way_are_limited(fresh, monkeypatch):
    async with serving(fresh, requests=2) as client:
        async with stuck(client, monkeypatch) as asked:
            tasks = [asyncio.create_task(client.get("/v1/recommend/1")) for _ in range(2)]
            while not asked:
                await asyncio.sleep(0.01)
            assert (await client.get("/v1/recommend/1")).status_code == 429
            assert (await client.get("/health/live")).status_code == 200
        assert [(await task).status_code for task in tasks] == [200, 200]
        assert client.service._under_way == 0
        assert "score_rag_waiting_questions 0.0" in (await client.get("/metrics")).text


async def test_who_gets_in(fresh):
    with pytest.raises(InputError, match="needs an API key"):
        ServeSettings(host="0.0.0.0")
    with pytest.raises(InputError, match="too short"):
        ServeSettings(api_key="x")
    async with serving(fresh, api_key=KEY, host="0.0.0.0", max_body=2000) as client:
        assert (await client.get("/v1/users/1")).status_code == 401
        assert (await client.get("/metrics", headers={"Authorization": "Bearer wrong"})).status_code == 401
        good = {"Authorization": f"Bearer {KEY}", "Host": "example.org"}
        assert (await client.get("/v1/users/1", headers=good)).status_code == 200
        assert (await client.get("/v1/users/1", headers={"X-API-Key": KEY})).status_code == 200
        large = await client.post("/v1/feedback", content=b" " * 3000, headers=good | {"content-type": "application/json"})
        assert large.status_code == 413 and large.json()["error"]["kind"] == "too_large"

        async def endless():
            while True:
                yield b" " * 500

        large = await client.post("/v1/feedback", content=endless(), headers=good | {"content-type": "application/json"})
        assert large.status_code == 413
    async with serving(fresh) as client:
        assert (await client.get("/v1/users/1", headers={"Host": "evil.example"})).status_code == 403
        crossed = await client.get("/v1/users/1", headers={"Origin": "http://evil.example"})
        assert crossed.status_code == 403 and "access-control-allow-origin" not in crossed.headers
        assert (await client.post("/v1/feedback", content=b"{}", headers={"content-type": "text/plain"})).status_code == 415
        assert (await client.get("/v1/items/..%2f..%2fetc%2fpasswd")).status_code == 404


async def test_headers_pages_and_logs(fresh, caplog):
    caplog.set_level(logging.INFO)
    async with serving(fresh) as client:
        for path in ("/docs", "/health/live", "/v1/users/1", "/v1/nothing"):
            headers = (await client.get(path)).headers
            assert headers["content-security-policy"].startswith("default-src 'self'") and headers["x-content-type-options"] == "nosniff"
            assert headers["x-request-id"]
        assert (await client.get("/health/live", headers={"X-Request-ID": "mine-1"})).headers["x-request-id"] == "mine-1"
        page = (await client.get("/docs")).text
        assert "<script" not in page and "//" not in page.replace("<!doctype", "") and "/v1/recommend/{user}" in page
        assert (await client.get("/docs.css")).headers["content-type"].startswith("text/css")
        document = (await client.get("/openapi.json")).json()
        paths = {"/v1/score", "/v1/recommend", "/v1/recommend/{user}", "/v1/neighbours/{user}", "/v1/explain", "/v1/rerank", "/v1/feedback"}
        assert paths | {"/v1/items/{item}", "/v1/users/{user}", "/health/live", "/health/ready", "/metrics"} <= set(document["paths"])
        secret = client.service.run.histories.catalogue["3"].name
        await posted(client, "/v1/score", history=[secret], items=["1"])
        await client.post("/v1/score", json={"history": [secret], "items": []})
        await client.get("/v1/users/1")
        numbers = (await client.get("/metrics")).text
        assert 'score_rag_requests_total{method="POST",path="/v1/score",status="200"} 1.0' in numbers
    said = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("score_rag"))
    assert "/v1/users/{user}" in said and "users/1" not in said and secret not in said


async def test_an_error_tells_nothing_of_the_inside(fresh, monkeypatch):
    from score_rag.predictor.predictor import Predictor

    async with serving(fresh) as client:
        monkeypatch.setattr(Predictor, "score", lambda *_, **__: 1 / 0)
        answer = await client.post("/v1/score", json={"user_id": "1", "items": ["1"]})
        assert answer.status_code == 500 and answer.json()["error"]["kind"] == "failed" and "division" not in answer.text


async def test_explain_takes_the_prompt_apart_where_that_is_asked_for(fresh):
    own = explain_question(open_recommender(fresh).run, "0", "1")
    async with serving(fresh) as client:
        plain = await posted(client, "/v1/explain", user_id="0", item="1")
        assert "explanation" not in plain
        told = await posted(client, "/v1/explain", user_id="0", item="1", parts=True)
        assert told["result"]["prompt"] == plain["result"]["prompt"] == own.look.text and told["as_of"] == plain["as_of"]
        assert told["result"]["probability"] == pytest.approx(plain["result"]["probability"], abs=1e-5)
        parts = told["explanation"]["segments"]
        assert [one["name"] for one in parts] == [one.name for one in own.look.segments]
        assert [one["effect"] for one in parts] == pytest.approx([one.effect for one in own.look.segments], abs=1e-5)
        weights = client.service.run.attention
        client.service.recommender._run = client.service.run.renewed()
        await posted(client, "/v1/explain", user_id="0", item="1", parts=True)
        assert client.service.run.attention is weights, "another generation of the index loads no weights again"


CURLS = re.findall(r"^curl (.*)$", (Path(__file__).parent.parent / "docs" / "server.md").read_text(encoding="utf-8"), re.M)


async def test_the_examples_of_the_docs_are_answered(fresh):
    """Each `curl` line of docs/server.md, in order: its words as curl reads them."""
    assert len(CURLS) > 10
    async with serving(fresh) as client:
        for line in CURLS:
            words = shlex.split(line)
            headers, body, method, address = {}, None, None, None
            while words:
                match words.pop(0):
                    case "-s":
                        pass
                    case "-H":
                        name, _, value = words.pop(0).partition(": ")
                        headers[name] = value
                    case "-d":
                        body = words.pop(0)
                    case "-X":
                        method = words.pop(0)
                    case word:
                        address = word
            path = address.removeprefix("localhost:8000")
            answer = await client.request(method or ("POST" if body else "GET"), path, content=body, headers=headers)
            assert answer.status_code == 200, (line, answer.text)
        known = (await client.get("/v1/users/new")).json()["user"]
        assert known["judgements"] == 2 and {one["name"] for one in known["history"]} >= {"Heat (1995)"}


async def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one():
    async def breaks_off(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("amid the answer")

    async def answers(scope, receive, send):
        await send({"type": "http.response.start", "status": 500, "headers": []})
        raise RuntimeError("answered and logged")

    sent, told = [], []

    async def send(message):
        sent.append(message["status"])

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "method": "GET", "path": "/health/live", "headers": [(b"host", b"127.0.0.1")]}
    guarded = [Guarded(app, ServeSettings(), lambda *request: told.append(request[2])) for app in (breaks_off, answers)]
    with pytest.raises(RuntimeError, match="amid"):
        await guarded[0](dict(scope), receive, send)
    await guarded[1](dict(scope), receive, send)
    assert sent == told == [200, 500]
