"""A server under load for a while: does its memory stay flat, does it leak descriptors or threads, how long is its tail?

    score-rag run sample
    python benchmarks/serve_soak.py sample [--minutes 30] [--clients 16] [--threads 1] [--set ...]

Starts `score-rag serve` as a process of its own. First it is asked as fast as `--clients` can, which gives the saturation load (answers a
second); then it is asked at half of that for so many minutes, at random times (Poisson), a mix of scores, rankings, feedback and users.
Prints ratios: RSS at the end over RSS after a tenth of the time (medians of a tenth each), p99 over p50 of each kind of request, and the
descriptors and threads at the start and the end. How many more requests one form of serving answers than another is the ratio of `requests`
of two runs of as many minutes, each at half of what it can. A request's time counts from when it was due, so that waiting is never left
out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from statistics import median

import httpx
import psutil

from score_rag.pipeline.config import load_pipeline
from score_rag.pipeline.run import Run

Times = dict[str, list[float]]


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Load:
    """Requests of a run's users."""

    def __init__(self, client: httpx.AsyncClient, users: list[str], items: list[str], feedback: bool) -> None:
        self.client, self.users, self.items, self.feedback = client, users, items, feedback
        self.random = random.Random(1)
        self.statuses: dict[int, int] = defaultdict(int)

    async def one(self, times: Times | None = None, due: float | None = None) -> None:
        """One request."""
        draw, user = self.random.random(), self.random.choice(self.users)
        due = time.perf_counter() if due is None else due
        if draw < 0.7:
            kind, request = (
                "score",
                self.client.post("/v1/score", json={"user_id": user, "items": self.random.sample(self.items, 5), "rerank": False}),
            )
        elif draw < 0.8:
            kind, request = "recommend", self.client.get(f"/v1/recommend/{user}", params={"n": 5})
        elif draw < 0.9 and self.feedback:
            body = {"user_id": user, "item_id": self.random.choice(self.items), "liked": self.random.random() < 0.5}
            kind, request = "feedback", self.client.post("/v1/feedback", json=body)
        else:
            kind, request = "users", self.client.get(f"/v1/users/{user}")
        answer = await request
        self.statuses[answer.status_code] += 1
        if times is not None and answer.status_code == 200:
            times[kind].append(time.perf_counter() - due)


async def saturated(load: Load, clients: int, seconds: float) -> float:
    """Answers a second with so many clients that ask without a pause."""
    end, done = time.perf_counter() + seconds, 0

    async def client() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await load.one()
            done += 1

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return done / (time.perf_counter() - began)


async def steady(load: Load, rate: float, seconds: float, process: psutil.Process) -> tuple[Times, list[int]]:
    """(seconds of each request by kind, RSS now and then) at a rate."""
    times: Times = defaultdict(list)
    memory: list[int] = []
    tasks: set[asyncio.Task[None]] = set()
    began = due = time.perf_counter()
    looked = 0.0
    while due < began + seconds:
        due += load.random.expovariate(rate)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        task = asyncio.create_task(load.one(times, due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        if time.perf_counter() - looked > seconds / 200:
            looked = time.perf_counter()
            memory.append(process.memory_info().rss)
    await asyncio.gather(*tasks)
    return times, memory


def quantile(values: list[float], share: float) -> float:
    """Of values, the one at a share."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


async def soak(url: str, pid: int, given: argparse.Namespace) -> dict[str, object]:
    """Load, and what was seen."""
    run = Run.open(load_pipeline(given.pipeline, overrides=given.overrides))
    process = psutil.Process(pid)
    limits = httpx.Limits(max_connections=256, max_keepalive_connections=256)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
        while True:
            try:
                if (await client.get("/health/ready")).status_code == 200:
                    break
            except httpx.TransportError:
                await asyncio.sleep(0.2)
            await asyncio.sleep(0.2)
        load = Load(client, run.histories.log.users, list(run.histories.catalogue), not given.no_feedback)
        # What grows with the first requests (threads, arenas of the allocator) is no leak.
        await saturated(load, given.clients, given.warm)
        rate = await saturated(load, given.clients, given.warm)
        await asyncio.sleep(1)
        before = process.num_fds(), process.num_threads()
        times, memory = await steady(load, rate / 2, given.minutes * 60, process)
        await asyncio.sleep(1)
        after = process.num_fds(), process.num_threads()
    tenth = max(1, len(memory) // 10)
    early, late = median(memory[tenth : 2 * tenth] or memory), median(memory[-tenth:])
    return {
        "minutes": given.minutes,
        "requests": sum(map(len, times.values())),
        "statuses": dict(load.statuses),
        "rss_end_over_early": round(late / early, 4),
        "descriptors_start_end": [before[0], after[0]],
        "threads_start_end": [before[1], after[1]],
        "p99_over_p50": {kind: round(quantile(some, 0.99) / quantile(some, 0.5), 2) for kind, some in sorted(times.items())},
        "half_load_p50_over_alone": round(quantile(times["score"], 0.5) * rate / given.clients, 3),
    }


def main() -> None:
    """Serve, load, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pipeline")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--threads", type=int, default=0, help="as of `score-rag serve`")
    parser.add_argument("--warm", type=float, default=20, help="seconds at saturation, before and for the rate")
    parser.add_argument("--no-feedback", action="store_true")
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    given = parser.parse_args()
    port = free_port()
    words = [sys.executable, "-m", "score_rag.cli", "serve", given.pipeline, "--port", str(port), "--threads", str(given.threads)]
    words += [word for override in given.overrides for word in ("--set", override)]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as server:
        try:
            print(json.dumps(asyncio.run(soak(f"http://127.0.0.1:{port}", server.pid, given)), indent=1))
        finally:
            server.send_signal(signal.SIGTERM)


if __name__ == "__main__":
    main()
