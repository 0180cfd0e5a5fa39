"""Fresh-process times as ratios: `--help` against the bare imports, `recommend` against importing everything it could use.

    python benchmarks/cold_start.py            # after: score-rag run sample

Run it alone on the machine: it times processes.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

PROGRAM = str(Path(sys.executable).with_name("score-rag"))
NAIVE = "import torch, transformers, sentence_transformers, peft, litellm, chromadb, llama_index.core, langchain_core, workflows"


def seconds(*command: str, times: int) -> float:
    """Median wall time of a command in fresh processes."""
    found = []
    for _ in range(times):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        found.append(time.perf_counter() - started)
    return statistics.median(found)


def main() -> None:
    floor = seconds(sys.executable, "-c", "import typer, rich.console", times=9)
    print(f"score-rag --help / import typer, rich.console: {seconds(PROGRAM, '--help', times=9) / floor:.2f} (must be at most 1.5)")
    print(f"import score_rag / python -c pass: {ratio_of_import():.2f}")
    naive = seconds(sys.executable, "-c", NAIVE, times=3)
    recommend = seconds(PROGRAM, "recommend", "--user", "42", "--item", "17", times=3)
    print(f"score-rag recommend / naive imports alone: {recommend / naive:.2f} (aim: .2 or less)")
    print(f"score-rag recommend within 2.5 s: {'yes' if recommend <= 2.5 else 'NO'}")


def ratio_of_import() -> float:
    return seconds(sys.executable, "-c", "import score_rag", times=9) / seconds(sys.executable, "-c", "pass", times=9)


if __name__ == "__main__":
    main()
