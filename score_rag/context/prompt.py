"""The question as text: the user's history, what other users did, the item; always built by the same lines, in training and serving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from score_rag.context.evidence import Crowd, Witnesses
from score_rag.data.log import Event, Item
from score_rag.prompts import Prompt

__all__ = ["Behaviour", "HistoryKind", "PromptBuilder", "Told", "visible_history"]

HistoryKind = Literal["all", "positives"]


@dataclass(frozen=True)
class Behaviour:
    """A retrieved user: who, and the document that tells their behaviour."""

    user_id: str
    text: str


@dataclass(frozen=True)
class Told:
    """One line of history, as `predict.md` sees it."""

    item: Item
    liked: bool


def visible_history(events: Sequence[Event], kind: HistoryKind) -> list[Event]:
    """The part of a history that a run shows: every judgement, or only the positive ones (METHOD: `history`)."""
    return list(events) if kind == "all" else [event for event in events if event.liked]


class PromptBuilder:
    """Fills in `predict.md`.

    Args:
        prompt: A prompt with the variables of `predict.md`.
        catalogue: Items by id.
        witnesses: Turns retrieved users into what they say about the item.
        history: How many of the latest events are told.
        kind: `all` judgements, or `positives` only.
    """

    def __init__(
        self, prompt: Prompt, catalogue: Mapping[str, Item], witnesses: Witnesses, *, history: int = 10, kind: HistoryKind = "all"
    ) -> None:
        self.prompt = prompt
        self.catalogue = catalogue
        self.witnesses = witnesses
        self.history = history
        self.kind = kind

    def build(
        self,
        history: Sequence[Event],
        item_id: str,
        *,
        neighbours: Sequence[Behaviour] = (),
        retrieved: Sequence[str] = (),
        as_of: int | None = None,
        last: int | None = None,
    ) -> str:
        """The question's text.

        Args:
            history: The user's events strictly before the question, oldest first.
            item_id: The item in question.
            neighbours: The reranked users, best first.
            retrieved: Ids of all retrieved users (the crowd); none means that no collaborative information is told.
            as_of: Time of the question; what others did at or after it is not told.
            last: Tell so many events instead of the builder's own number.
        """
        most = self.history if last is None else last
        shown = visible_history(history, self.kind)[-most:] if most else []
        others = [self.witnesses.view(other.user_id, other.text, item_id=item_id, as_of=as_of, history=history) for other in neighbours]
        crowd = self.witnesses.crowd(retrieved, item_id=item_id, as_of=as_of) if retrieved else Crowd(0, 0, 0)
        return self.prompt.render(
            history=[Told(self.catalogue[event.item_id], event.liked) for event in shown],
            neighbours=others,
            crowd=crowd,
            target=self.catalogue[item_id],
        )
