"""A real server on 127.0.0.1, as a process of its own: it starts, answers, and loses nothing that it acknowledged when it is killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

import httpx
import psutil
import pytest

from score_rag import open_recommender


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def served(pipeline, *words, key=None):
    """(client, process) of `score-rag serve`, ready; it is ended by SIGTERM, and must then end well."""
    port = free_port()
    env = os.environ | ({"SCORE_RAG_API_KEY": key} if key else {})
    command = [sys.executable, "-m", "score_rag.cli", "serve", str(pipeline.path), "--port", str(port), *words]
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            wait_ready(client, process)
            yield client, process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            _, told = process.communicate(timeout=40)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert "Traceback" not in told, told


def wait_ready(client, process) -> None:
    for _ in range(600):
        assert process.poll() is None, process.stderr.read()
        try:
            if client.get("/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("the server is not ready after a minute")


def test_a_server_answers_as_the_library_and_ends_when_told(fresh):
    own = open_recommender(fresh).recommend("0", "2")
    with served(fresh, key="a key of some length") as (client, process):
        assert client.get("/v1/users/0").status_code == 401
        client.headers["X-API-Key"] = "a key of some length"
        told = client.post("/v1/explain", json={"user_id": "0", "item": "2"}).json()
        assert told["result"]["probability"] == pytest.approx(own.probability, abs=1e-5)
        assert client.get("/health/live").headers.get("server") is None
    assert process.returncode == 128 + signal.SIGTERM


def workers_of(process):
    """Those alive, whoever else uvicorn or multiprocessing has started."""
    found = []
    for one in psutil.Process(process.pid).children():
        # One that was killed is there until somebody asks how it ended.
        with suppress(psutil.Error):
            if "spawn_main" in " ".join(one.cmdline()):
                found.append(one)
    return found


@pytest.mark.slow
def test_killed_workers_are_replaced_and_no_acknowledged_feedback_is_lost(fresh):
    with served(fresh, "--workers", "2") as (client, process):
        acknowledged, killed = set(), set()
        deadline = time.monotonic() + 120
        number = 0
        while time.monotonic() < deadline and (len(killed) < 2 or len(acknowledged) < 60):
            number += 1
            if number % 25 == 0 and len(killed) < 2:
                workers = workers_of(process)
                victim = next(one for one in workers if one.pid not in killed)
                victim.send_signal(signal.SIGKILL)
                killed.add(victim.pid)
            try:
                body = {"event_id": f"e{number}", "user_id": f"u{number % 7}", "item_id": "4", "liked": True}
                answer = client.post("/v1/feedback", json=body)
                if answer.status_code == 200 and f"e{number}" in answer.json()["added"]:
                    acknowledged.add(f"e{number}")
                # Any worker knows what any other took.
                seen = client.get(f"/v1/users/u{number % 7}")
                assert seen.status_code in (200, 503), seen.text
            except httpx.TransportError:
                time.sleep(0.05)
        assert len(killed) == 2 and len(acknowledged) >= 60
        wait_ready(client, process)
        for _ in range(300):
            alive = workers_of(process)
            if len(alive) == 2 and not killed & {one.pid for one in alive}:
                break
            time.sleep(0.1)
        assert len(alive) == 2 and not killed & {one.pid for one in alive}, "both are replaced"
        assert "score_rag_requests_total" in client.get("/metrics").text
    from score_rag.pipeline.fresh import open_feedback

    assert acknowledged <= {one.event_id for one in open_feedback(fresh).current()}
