"""What a stress came to: how much of the full amount was done, what was measured, what went wrong."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Result:
    """One stress.

    Attributes:
        name: Which.
        full: How many make the full amount; 0 where time alone counts.
        done: How many were done within the time.
        counts: By kind, how many.
        facts: Other figures, each with its unit in its name.
        faults: What went wrong, in words; empty is success.
        skipped: Why nothing could be done here; empty otherwise.
    """

    name: str
    full: int = 0
    done: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    facts: dict[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    skipped: str = ""
    seconds: float = 0.0
    began: float = field(default_factory=time.monotonic, repr=False)

    @property
    def ok(self) -> bool:
        return not self.faults

    def fault(self, told: str) -> None:
        """Something went wrong."""
        self.faults.append(told)

    def ended(self) -> Result:
        """This, its time taken."""
        self.seconds = round(time.monotonic() - self.began, 1)
        return self

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        told = {**asdict(self), "counts": dict(self.counts), "ok": self.ok}
        del told["began"]
        return told


class Clock:
    """Time that is to be used."""

    def __init__(self, minutes: float) -> None:
        self._end = time.monotonic() + 60 * minutes

    @property
    def left(self) -> float:
        """Seconds."""
        return self._end - time.monotonic()

    def __bool__(self) -> bool:
        return self.left > 0
