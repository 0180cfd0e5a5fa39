"""Worlds with known answers, for tests."""

from score_rag.testing.toy import toy_world

__all__ = ["toy_world"]
