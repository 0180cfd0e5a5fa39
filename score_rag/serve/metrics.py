"""Numbers for Prometheus: of one process, or of all workers together where a folder for that is set."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["FOLDER", "Metrics"]

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable by which prometheus_client shares numbers between processes; read when it is imported."""
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The numbers of one application."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        own = self._registry = CollectorRegistry()
        labels = ("path", "method", "status")
        self.requests = Counter("score_rag_requests", "Requests answered", labels, registry=own)
        self.seconds = Histogram("score_rag_request_seconds", "Time to an answer", ("path",), buckets=_SECONDS, registry=own)
        self.batches = Histogram(
            "score_rag_batch_questions", "Questions answered together", buckets=(1, 2, 4, 8, 16, 32, 64, 128), registry=own
        )
        self.refused = Counter("score_rag_refused", "Requests that were not answered", ("kind",), registry=own)
        self.feedback = Counter("score_rag_feedback", "Judgements sent", ("result",), registry=own)
        self.waiting = Gauge("score_rag_waiting_questions", "Questions that wait", registry=own, multiprocess_mode="livesum")
        self.generation = Gauge("score_rag_index_generation", "Of the serving index", registry=own, multiprocess_mode="livemin")

    def told(self, path: str, method: str, status: int, seconds: float) -> None:
        """Count a request."""
        self.requests.labels(path, method, str(status)).inc()
        self.seconds.labels(path).observe(seconds)

    def page(self) -> tuple[bytes, str]:
        """(text, its content type)."""
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = self._registry
        if FOLDER in os.environ:
            registry = CollectorRegistry()
            _forget_the_dead(os.environ[FOLDER])
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry), CONTENT_TYPE_LATEST


def _forget_the_dead(folder: str) -> None:
    """Gauges of workers that are gone count no more."""
    from prometheus_client.multiprocess import mark_process_dead

    for file in Path(folder).glob("gauge_live*_*.db"):
        number = file.stem.rpartition("_")[2]
        if number.isdigit() and not _alive(int(number)):
            mark_process_dead(int(number), folder)  # type: ignore[no-untyped-call]


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
