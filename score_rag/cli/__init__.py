"""The command line. Only here does score-rag speak to a screen, and only here does it exit."""

from score_rag.cli.app import app, main

__all__ = ["app", "main"]
