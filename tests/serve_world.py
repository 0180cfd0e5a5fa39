"""A server in-process, and what its tests ask it with."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager

import httpx

from score_rag.serve.app import create_app
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
