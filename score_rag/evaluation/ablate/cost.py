"""What a variant costs: seconds, the tokens of a question, the most memory while it ran."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["Cost", "Meter", "metered"]


@dataclass(frozen=True)
class Cost:
    """Of one variant.

    Attributes:
        train_seconds: Of training what is the variant's own (stages and predictor); 0 where nothing is.
        find_seconds: Of finding and writing what all questions are told.
        ask_seconds: Of asking the predictor.
        tokens: Of a question, on average, as the predictor reads it.
        memory: Most bytes of this process resident at once while the variant ran, what was open before included; None where the system
            does not tell.
        gpu_memory: Most bytes on the GPU; None without one.
    """

    train_seconds: float
    find_seconds: float
    ask_seconds: float
    tokens: float
    memory: int | None
    gpu_memory: int | None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class Meter:
    """Seconds by name, and peaks once the block has ended."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.memory: int | None = None
        self.gpu_memory: int | None = None

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        """Adds what the block takes."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


@contextmanager
def metered() -> Iterator[Meter]:
    """Measures the block; the system's own peak of this process begins anew (Linux)."""
    meter = Meter()
    fresh = _forget_peak()
    gpu = _gpu()
    if gpu is not None:
        gpu.reset_peak_memory_stats()
    try:
        yield meter
    finally:
        meter.memory = _peak() if fresh else None
        meter.gpu_memory = int(gpu.max_memory_allocated()) if gpu is not None else None


def _forget_peak() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _peak() -> int | None:
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def _gpu() -> Any:
    import sys

    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_available() else None
