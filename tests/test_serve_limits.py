"""What the server refuses and how, what waits, and what it never says."""

from __future__ import annotations

import asyncio
import logging

import pytest
from serve_world import KEY, posted, serving, stuck

from score_rag.errors import InputError
from score_rag.serve.safety import Guarded
from score_rag.serve.settings import ServeSettings


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


async def test_batches_answered_at_once_are_each_as_alone(fresh):
    """Reranked and not, of many lengths."""
    bodies = [{"user_id": str(n), "items": [str((n * 7 + m) % 24) for m in range(1 + n % 4)], "rerank": n % 3 == 0} for n in range(24)]
    async with serving(fresh, threads=4) as client:
        alone = [(await posted(client, "/v1/score", **body))["results"] for body in bodies]
        found = await asyncio.gather(*(posted(client, "/v1/score", **body) for body in bodies * 2))
        again = [one["results"] for one in found]
    for one, other in zip(again, alone * 2, strict=True):
        assert [each["item_id"] for each in one] == [each["item_id"] for each in other]
        assert [each["probability"] for each in one] == pytest.approx([each["probability"] for each in other], abs=1e-5)


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
