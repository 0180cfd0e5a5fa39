"""A run over HTTP: answers with their evidence, feedback, health and metrics. Needs the extra `serve` (FastAPI, uvicorn)."""
