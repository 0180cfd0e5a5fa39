"""A real server, killed with all its workers while it takes feedback: nothing that it acknowledged is lost."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

from benchmarks.stress import ROOT
from benchmarks.stress.result import Clock, Result

__all__ = ["kill_servers"]

_PATIENCE = 180.0
"""Seconds until a server must be ready, on a machine that may be busy."""


def kill_servers(result: Result, toy: str, place: Path, draw: random.Random, clock: Clock) -> None:
    """Start, ask, kill, until the time is over; at least once."""
    from run_copies import copy_run

    from score_rag.feedback.log import FeedbackLog

    copy_run(Path(toy).parent / "runs", place)
    acknowledged: set[str] = set()
    while not result.counts["server"] or clock:
        before = len(acknowledged)
        fault = _one_life(toy, place, acknowledged, draw)
        result.counts["server"] += 1
        log = FeedbackLog(place / "toy" / "feedback")
        there = {one.event_id for one in log.current()}
        if fault or acknowledged - there or log.damaged:
            result.fault(f"server: {fault or f'{len(acknowledged - there)} acknowledged and lost, {log.damaged} damaged lines'}")
            break
        result.facts["server_acknowledged"] = len(acknowledged)
        result.facts["server_lives_that_answered"] = result.facts.get("server_lives_that_answered", 0) + (len(acknowledged) > before)


def _one_life(toy: str, place: Path, acknowledged: set[str], draw: random.Random) -> str:
    """A server from its start to its death a moment after it is ready, or, one time in five, before; what was wrong with it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = int(taken.getsockname()[1])
    words = [sys.executable, "-m", "score_rag.cli", "serve", toy, "--set", f"runs={place}", "--port", str(port)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        if draw.random() < 0.2:
            time.sleep(draw.uniform(0, 5))
            return ""
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            if not _is_ready(client, process):
                return f"it was not ready (exit status {process.poll()})"
            end = time.monotonic() + draw.uniform(0.1, 3)
            while time.monotonic() < end:
                number = len(acknowledged)
                body = {
                    "event_id": f"e{number}",
                    "user_id": f"u{number % 7}",
                    "item_id": str(number % 24),
                    "liked": True,
                    "timestamp": number,
                }
                answer = client.post("/v1/feedback", json=body)
                if answer.status_code != 200:
                    return f"feedback was answered with {answer.status_code}: {answer.text[:200]}"
                acknowledged.add(body["event_id"])
        return ""
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _is_ready(client: httpx.Client, process: subprocess.Popen) -> bool:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and process.poll() is None:
        try:
            if client.get("/health/ready").status_code == 200:
                return True
        except httpx.TransportError:
            pass
        time.sleep(0.25)
    return False
