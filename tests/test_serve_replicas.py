"""Two servers of one run behind one address: whichever answers, the answer is the same."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from itertools import cycle, islice

import httpx
from serve_world import posted, serving

from score_rag.pipeline import serving_index


class InTurn(httpx.AsyncBaseTransport):
    """The address: each request goes to the next server that is ready."""

    def __init__(self, *servers: httpx.AsyncClient) -> None:
        self.servers = servers
        self._turns = cycle(range(len(servers)))
        self.answered: list[int] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        for turn in islice(self._turns, len(self.servers)):
            server = self.servers[turn]
            if (await server.get("/health/ready")).status_code == 200:
                self.answered.append(turn)
                return await server._transport.handle_async_request(request)
        return httpx.Response(503)


@asynccontextmanager
async def address(*servers):
    async with httpx.AsyncClient(transport=InTurn(*servers), base_url="http://127.0.0.1:8000", timeout=60) as client:
        yield client, client._transport


async def told_twice(client, path, **body):
    """The same by both: their answers, without what is of one request."""
    said = [await posted(client, path, **body) for _ in range(2)]
    about = [{name: one["about"][name] for name in ("route", "status", "index_generation", "models")} for one in said]
    return [{**one, "about": facts} for one, facts in zip(said, about, strict=True)]


async def test_replicas_share_feedback_index_and_answers_and_one_may_leave_and_come_back(fresh):
    async with serving(fresh) as first:
        async with serving(fresh) as second, address(first, second) as (client, turns):
            one, other = await told_twice(client, "/v1/score", user_id="1", items=["1", "2", "5"])
            assert one == other and turns.answered[-2:] == [0, 1]
            judged = {"event_id": "e1", "user_id": "new", "item_id": "4", "liked": True, "timestamp": 1_700_000_000}
            assert [bool((await posted(client, "/v1/feedback", **judged))["added"]) for _ in range(2)] == [True, False]
            one, other = await told_twice(client, "/v1/recommend", user_id="new", n=3)
            assert one == other and one["about"]["status"] == "not_indexed"
            # One writer makes the next generation; both take it, and all are answered meanwhile.
            work = asyncio.get_running_loop().run_in_executor(None, serving_index.build, fresh)
            generations = {0: 0, 1: 0}
            while {*generations.values()} != {1}:
                answer = await client.get("/v1/recommend/new", params={"n": 1})
                assert answer.status_code == 200
                generations[turns.answered[-1]] = answer.json()["about"]["index_generation"]
                if work.done():
                    # What it raised, if it did.
                    work.result()
            await work
            one, other = await told_twice(client, "/v1/recommend", user_id="new", n=3)
            assert one == other and one["about"]["status"] == "ok"
            before = one
        # The second has left; another one starts from what lies in the run's folder.
        async with serving(fresh) as again, address(first, again) as (client, turns):
            found = await told_twice(client, "/v1/recommend", user_id="new", n=3)
            assert found == [before, before] and sorted(turns.answered) == [0, 1]
