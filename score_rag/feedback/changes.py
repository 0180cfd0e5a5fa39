"""What became of judgements that were to be written or forgotten."""

from __future__ import annotations

from dataclasses import dataclass, field

from score_rag.feedback.record import Feedback

__all__ = ["Appended", "Change", "Compacted"]


@dataclass(frozen=True, slots=True)
class Change:
    """A judgement that was added, and the one of the same id that it took the place of; without `new`, `old` was forgotten."""

    new: Feedback | None
    old: Feedback | None = None


@dataclass
class Appended:
    """What became of judgements that were to be written.

    Attributes:
        added: Ids that are new.
        replaced: Ids that were there, with something else, and were to be overwritten.
        known: Ids that were there; nothing was written for them.
    """

    added: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Compacted:
    """What a log that was written anew holds, and how many lines it had more: overwritten, forgotten, damaged ones."""

    kept: int
    removed: int
    damaged: int
