"""Worlds with known answers, parts without models and servers without GPUs, for tests."""

from score_rag.testing.batch_server import BatchServer
from score_rag.testing.chat_server import ChatServer
from score_rag.testing.server import ScoringServer
from score_rag.testing.toy import toy_world
from score_rag.testing.words import WordEncoder

__all__ = ["BatchServer", "ChatServer", "ScoringServer", "WordEncoder", "toy_world"]
