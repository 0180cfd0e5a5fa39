"""What a stage costs a machine: its peak memory, and which machine it was."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from pathlib import Path
from typing import Any

__all__ = ["PeakMemory", "cores", "machine"]


class PeakMemory:
    """Peak resident memory of this process since the last `start`.

    Linux can forget an earlier peak; elsewhere the peak is that of the process so far, an upper bound.
    """

    def start(self) -> None:
        """Forget what was before."""
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def read(self) -> dict[str, int]:
        """Bytes: `memory`, and `gpu_memory` where torch has used a GPU."""
        found = {"memory": _resident()}
        if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_available():
            found["gpu_memory"] = int(torch.cuda.max_memory_allocated())
        return found


def _resident() -> int:
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> dict[str, Any]:
    """Cores that this process may use, the machine's memory in bytes (0: unknown), its GPUs, its system, and Python."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        memory = 0
    torch = sys.modules.get("torch")
    gpus = [torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count())] if torch is not None else []
    system = f"{platform.system()} {platform.machine()}"
    return {"cores": cores(), "memory": memory, "gpus": gpus, "system": system, "python": platform.python_version()}
