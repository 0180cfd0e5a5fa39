#!/bin/sh
# What the image does at build time, and what a test does without Docker: the plain install of this tree and its MCP server into a
# Python environment, versions as pinned, nothing for training.
#
#   scripts/install_serving.sh PYTHON [SOURCE]
set -eu
python=${1:?a Python with pip}
source=${2:-.}
"$python" -m pip install --quiet --no-cache-dir --disable-pip-version-check -c "$source/constraints.txt" "$source[mcp]"
"$python" - <<'PYTHON'
from importlib.util import find_spec

from score_rag.extras import TRAINING

found = [name for name in TRAINING if find_spec(name)]
if found:
    raise SystemExit(f"the serving install holds training packages: {', '.join(found)}")
PYTHON
