"""Two servers of one run behind nginx, asked by four clients while an index is built, one is killed and started, the other told to end.

    python benchmarks/replicas.py sample        # a finished run; needs nginx

Works on a copy of the run. Says how many requests got which status, and how many questions the two servers answer otherwise afterwards.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import httpx

from score_rag.pipeline.config import load_pipeline

ROOT = Path(__file__).resolve().parent.parent
KEY = {"X-API-Key": "a key of more than sixteen signs"}
ADDRESS, PORTS = "http://127.0.0.1:8000", (8001, 8002)


class Clients:
    """Four that ask, and tell, until they are stopped."""

    def __init__(self, users: list[str], items: list[str]) -> None:
        self.statuses: Counter[str] = Counter()
        self.generations: Counter[int] = Counter()
        self._users, self._items, self._over = users, items, threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(4)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        turn = 0
        with httpx.Client(base_url=ADDRESS, headers=KEY, timeout=60) as client:
            while not self._over.is_set():
                turn += 1
                user = self._users[(turn + 7 * number) % len(self._users)]
                answer = client.post("/v1/score", json={"user_id": user, "items": self._items[:2]})
                self.statuses[f"score {answer.status_code}"] += 1
                if answer.status_code == 200:
                    self.generations[answer.json()["about"]["index_generation"]] += 1
                if turn % 10 == 0:
                    one = {"event_id": f"{number}-{turn}", "user_id": f"new{number}", "item_id": self._items[turn % len(self._items)]}
                    taken = client.post("/v1/feedback", json={**one, "liked": True})
                    self.statuses[f"feedback {taken.status_code}"] += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pipeline")
    parser.add_argument("--set", nargs="*", default=[])
    parser.add_argument("--seconds", type=float, default=10, help="between one thing and the next")
    given = parser.parse_args()
    pipeline = load_pipeline(given.pipeline, overrides=given.set)
    with tempfile.TemporaryDirectory(prefix="score-rag-replicas-") as place:
        run = Path(place) / pipeline.name
        shutil.copytree(Path(pipeline.runs) / pipeline.name, run)
        for name in ("feedback", "index", "scratch"):
            shutil.rmtree(run / name, ignore_errors=True)
        # The same words for each, but their ports.
        words = ["--set", *[word for one in given.set for word in (one, "--set")], f"runs={place}"]
        tried(given.pipeline, words, given.seconds, run)


def tried(name: str, words: list[str], pause: float, run: Path) -> None:
    """What is done to the servers, and what came of it."""
    import polars as pl

    events = pl.read_parquet(run / "data" / "events.parquet")
    users, items = (events[column].cast(pl.String()).unique(maintain_order=True).to_list() for column in ("user_id", "item_id"))
    servers = {port: served(name, words, port) for port in PORTS}
    proxy = ["nginx", "-p", str(ROOT), "-c", "examples/replicas/nginx.conf", "-g", "daemon off;"]
    nginx = subprocess.Popen(proxy, stderr=subprocess.DEVNULL)
    try:
        for port in PORTS:
            ready(port)
        with Clients(users[:40], items) as clients:
            time.sleep(pause)
            subprocess.run([*command("index", "build", name), *words], check=True, stdout=subprocess.DEVNULL)
            while clients.generations[1] < 50:
                time.sleep(0.5)
            servers[PORTS[1]].kill()
            time.sleep(pause)
            servers[PORTS[1]] = served(name, words, PORTS[1])
            ready(PORTS[1])
            time.sleep(pause)
            servers[PORTS[0]].send_signal(signal.SIGTERM)
            servers[PORTS[0]].wait(60)
            time.sleep(pause)
        servers[PORTS[0]] = served(name, words, PORTS[0])
        ready(PORTS[0])
        known = sum(judgements(f"new{number}") for number in range(4))
        said = [[probability(port, user, items[0]) for user in users[:40]] for port in PORTS]
    finally:
        for process in (*servers.values(), nginx):
            process.terminate()
            process.wait(60)
    print(dict(sorted(clients.statuses.items())), f"by generation of the index: {dict(clients.generations)}")
    differ = sum(abs(one - other) > 1e-6 for one, other in zip(*said, strict=True))
    print(f"{differ} of {len(said[0])} questions are answered otherwise by the other server")
    print(f"{known} judgements are known, {clients.statuses['feedback 200']} were acknowledged")


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "score_rag.cli", *words]


def served(name: str, words: list[str], port: int) -> subprocess.Popen[bytes]:
    env = os.environ | {"SCORE_RAG_API_KEY": KEY["X-API-Key"]}
    return subprocess.Popen([*command("serve", name), "--port", str(port), *words], env=env, stderr=subprocess.DEVNULL)


def ready(port: int) -> None:
    for _ in range(600):
        try:
            answer = httpx.get(f"http://127.0.0.1:{port}/health/ready")
            if answer.status_code == 200:
                return
            if answer.json().get("status") == "failed":
                break
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    sys.exit(f"no server on port {port}")


def probability(port: int, user: str, item: str) -> float:
    answer = httpx.post(f"http://127.0.0.1:{port}/v1/score", headers=KEY, json={"user_id": user, "items": [item]}, timeout=60)
    return float(answer.json()["results"][0]["probability"])


def judgements(user_id: str) -> int:
    return int(httpx.get(f"{ADDRESS}/v1/users/{user_id}", headers=KEY).json()["user"]["judgements"])


if __name__ == "__main__":
    main()
