"""Worlds with known answers and parts without models, for tests."""

from score_rag.testing.toy import toy_world
from score_rag.testing.words import WordEncoder

__all__ = ["WordEncoder", "toy_world"]
