#!/bin/sh
# The image's health check: the MCP server answers on its port. With a key set, "who are you?" is an answer too.
exec python - <<'PYTHON'
import os
import urllib.error
import urllib.request

address = f"http://127.0.0.1:{os.environ.get('PORT', '8765')}/mcp"
try:
    urllib.request.urlopen(address, timeout=5)
except urllib.error.HTTPError as answer:
    raise SystemExit(0 if answer.code in (401, 405, 406) else 1)
except OSError:
    raise SystemExit(1)
PYTHON
