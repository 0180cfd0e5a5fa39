"""The question as text: the user's history, what other users did, the item; always built by the same lines, in training and serving."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from score_rag.context.evidence import KINDS
from score_rag.context.levels import UNKNOWN
from score_rag.context.neighbours import Neighbour
from score_rag.context.variables import Facts, Told, check_predict_prompt
from score_rag.data.choices import History
from score_rag.data.log import Event, Item
from score_rag.errors import PromptError
from score_rag.prompts import Prompt

__all__ = ["LeftOut", "PromptBuilder", "Written", "visible_history"]

_SHORTEST = 60
"""Characters below which a behaviour is left out rather than shortened."""


@dataclass(frozen=True)
class LeftOut:
    """What a prompt does not tell because the model could not read it.

    Attributes:
        history: Events.
        behaviours: Other users whose behaviour was shortened.
        neighbours: Other users.
    """

    history: int = 0
    behaviours: int = 0
    neighbours: int = 0

    def __bool__(self) -> bool:
        return bool(self.history or self.behaviours or self.neighbours)

    def __str__(self) -> str:
        parts = [
            f"{count} {what}{'s' if count > 1 else ''}"
            for count, what in (
                (self.history, "older event"),
                (self.behaviours, "shortened behaviour"),
                (self.neighbours, "other user"),
            )
            if count
        ]
        return ", ".join(parts)


@dataclass(frozen=True)
class Written:
    """A prompt's text, and what was left out of it.

    Attributes:
        values: What the prompt was filled in with, by variable, where the builder was asked to keep it.
    """

    text: str
    left_out: LeftOut = LeftOut()
    values: Mapping[str, Any] | None = field(default=None, kw_only=True, repr=False, compare=False)


def visible_history(events: Sequence[Event], kind: History) -> list[Event]:
    """The part of a history that a run shows: every judgement, or only the positive ones (METHOD: `history`)."""
    return list(events) if kind == "all" else [event for event in events if event.liked]


def _shorter(behaviour: str) -> str:
    """About three quarters of a behaviour, up to the end of an item.

    >>> _shorter("Liked: Heat (1995); Ronin (1998); Casino (1995); Alien (1979).")
    'Liked: Heat (1995); Ronin (1998) …'
    """
    head = behaviour.removesuffix(" …")
    head = head[: len(head) * 3 // 4]
    end = max(head.rfind("; "), head.rfind(". "), head.rfind("\n"))
    return head[: end if end > 0 else head.rfind(" ")].rstrip(",;: ") + " …"


class PromptBuilder:
    """Fills in a prompt for the question.

    Args:
        prompt: Declares any of `PREDICT_VARIABLES`; only those are filled in.
        catalogue: Items by id.
        experts: Names that `expectation` has.
        history: How many of the latest events are told, where the model can read them.
        kind: `all` judgements, or `positives` only.
        max_tokens: Longest prompt; None has no limit.
        count_tokens: How long a text is for the model, with what is put around it.

    Raises:
        PromptError: The prompt declares what no question has, or uses an attribute that a variable has not.
    """

    def __init__(
        self,
        prompt: Prompt,
        catalogue: Mapping[str, Item],
        *,
        experts: Sequence[str] = (),
        history: int = 10,
        kind: History = "all",
        max_tokens: int | None = None,
        count_tokens: Callable[[str], int] | None = None,
    ) -> None:
        check_predict_prompt(prompt, experts)
        self.experts = tuple(experts)
        self.prompt = prompt
        self.catalogue = catalogue
        self.history = history
        self.kind = kind
        self.max_tokens = max_tokens
        self.count_tokens = count_tokens

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of evidence that the prompt declares."""
        return tuple(kind for kind in KINDS if kind in self.prompt.variables)

    @property
    def tells_neighbours(self) -> bool:
        """Whether the prompt declares other users at all."""
        return "neighbours" in self.prompt.variables

    def shown(self, history: Sequence[Event], last: int | None = None) -> list[Event]:
        """The events that are told: the latest of those that a run shows."""
        most = self.history if last is None else last
        return visible_history(history, self.kind)[-most:] if most and "history" in self.prompt.variables else []

    def write(
        self,
        shown: Sequence[Event],
        item_id: str,
        *,
        facts: Facts | None = None,
        history_facts: Sequence[Facts] | None = None,
        neighbours: Sequence[Neighbour] = (),
        named: bool = True,
        keep_values: bool = False,
    ) -> Written:
        """The question's text, shortened where the model could not read it whole.

        First fewer events are told (the oldest go first), then shorter behaviours, then fewer other users; instructions and target stay.

        Args:
            shown: Events to tell, oldest first (see `shown`).
            item_id: The item in question.
            facts: What is known of the answer, by kind; unknown where it is missing.
            history_facts: The same for each event, as of its own time.
            neighbours: The reranked users, best first.
            named: Whether items have names; a model that learns without some of the time remembers fewer of them.
            keep_values: Whether `values` are kept, for who asks again with one of them changed.

        Raises:
            PromptError: Not even the target fits.
        """
        told = [
            Told(self._item(event.item_id, named), event.liked, known)
            for event, known in zip(shown, history_facts or [self.unknown()] * len(shown), strict=True)
        ]
        facts = {**self.unknown(), **(facts or {})}
        target = self._item(item_id, named)
        text, left_out, kept = self._render(told, target, facts, neighbours), LeftOut(), list(neighbours)
        if self.max_tokens is not None and self.count_tokens is not None and not self._fits(text):
            text, left_out, kept = self._shortened(told, target, facts, neighbours)
        values = self._values(told[left_out.history :], target, facts, kept) if keep_values else None
        return Written(text, left_out, values=values)

    def _item(self, item_id: str, named: bool) -> Item:
        item = self.catalogue[item_id]
        return item if named else replace(item, title="", year=None)

    def _shortened(
        self, told: list[Told], target: Item, facts: Facts, neighbours: Sequence[Neighbour]
    ) -> tuple[str, LeftOut, list[Neighbour]]:
        events = len(told)
        low, high = 0, events  # `high` events at most; the most that fit are found by bisection, for each fewer makes it shorter
        while low < high:
            middle = (low + high + 1) // 2
            if self._fits(self._render(told[events - middle :], target, facts, neighbours)):
                low = middle
            else:
                high = middle - 1
        kept, cut = list(neighbours), 0
        text = self._render(told[events - low :], target, facts, kept)
        while not self._fits(text) and kept:
            longest = max(range(len(kept)), key=lambda place: len(kept[place].behaviour))
            behaviour = kept[longest].behaviour
            if len(behaviour) > _SHORTEST:
                kept[longest] = replace(kept[longest], behaviour=_shorter(behaviour))
                cut += 1
            else:
                kept.pop()
            text = self._render(told[events - low :], target, facts, kept)
        if not self._fits(text):
            assert self.count_tokens is not None
            raise PromptError(
                "a question is too long for the model even without history and other users",
                where=self.prompt.path,
                expected=f"at most {self.max_tokens} tokens",
                found=f"{self.count_tokens(text)} tokens",
                hint="shorten the prompt's instructions, or raise predictor.max_tokens",
            )
        shortened = sum(a.behaviour != b.behaviour for a, b in zip(kept, neighbours, strict=False))
        return text, LeftOut(events - low, shortened, len(neighbours) - len(kept)), kept

    def _fits(self, text: str) -> bool:
        assert self.max_tokens is not None and self.count_tokens is not None
        return self.count_tokens(text) <= self.max_tokens

    def _render(self, told: Sequence[Told], target: Item, facts: Facts, neighbours: Sequence[Neighbour]) -> str:
        return self.prompt.render(**self._values(told, target, facts, neighbours))

    def _values(self, told: Sequence[Told], target: Item, facts: Facts, neighbours: Sequence[Neighbour]) -> dict[str, Any]:
        values = {"history": told, "neighbours": list(neighbours), "target": target, **facts}
        return {name: value for name, value in values.items() if name in self.prompt.variables}

    def unknown(self) -> dict[str, Any]:
        """Evidence of which nothing is known, of each kind that the prompt declares."""
        return {kind: dict.fromkeys(self.experts, UNKNOWN) if kind == "expectation" else UNKNOWN for kind in self.kinds}
