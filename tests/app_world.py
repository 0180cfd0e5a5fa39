"""What the tests of integrations share."""

from __future__ import annotations

import pytest
from llama_index.core.bridge.pydantic import Field
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.span import SpanDropEvent

from score_rag import CollaborativeRetriever
from score_rag.testing import WordEncoder

TEXTS = {
    "ann": "Liked: Heat; Ronin; Casino.",
    "bob": "Liked: Heat; Ronin; Collateral.",
    "cat": "Liked: Grease; Cabaret; Chicago.",
    "dan": "Liked: Alien; Predator; Tremors.",
}


@pytest.fixture
def retriever():
    return CollaborativeRetriever.from_texts(TEXTS, encoder=WordEncoder(), similarity_top_k=2)


def users(nodes) -> list[str]:
    return [node.metadata["user_id"] for node in nodes]


class Seen(BaseEventHandler):
    """Keeps the names of the events that it is told, but for those of spans."""

    names: list[str] = Field(default_factory=list)

    def handle(self, event, **more):
        if not isinstance(event, SpanDropEvent):
            self.names.append(type(event).__name__)


@pytest.fixture
def seen():
    handler, dispatcher = Seen(), get_dispatcher()
    dispatcher.add_event_handler(handler)
    yield handler
    dispatcher.event_handlers.remove(handler)
