"""Trust under stress: kills, readers, corruption, leaks, full disks. `python -m benchmarks.stress --help`; figures: docs/reliability.md.

What the tests have for it (the toy run, copies of it, random logs) is used here as it is.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [folder for folder in (str(ROOT), str(ROOT / "tests")) if folder not in sys.path]
