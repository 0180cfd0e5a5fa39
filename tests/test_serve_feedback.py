"""Judgements over HTTP: taken once, known at once, forgotten, reported."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

from filelock import FileLock
from serve_world import KEY, posted, serving

from score_rag.cli.feedback import exported, reported
from score_rag.pipeline.fresh import open_feedback


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
