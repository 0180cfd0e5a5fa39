"""What evidence is called for people."""

from __future__ import annotations

from score_rag.context.evidence import TOGETHER

__all__ = ["TOGETHER_NAME", "evidence_label"]

TOGETHER_NAME = f"expectation.{TOGETHER}"
_NAMES = {
    "everyone": "the item's like-rate",
    "mood": "the user's like-rate so far",
    "alike": "the user on items most like it",
    "crowd": "the item's judges, by likeness",
    TOGETHER_NAME: "expected by all of them",
}


def evidence_label(name: str) -> str:
    """A kind of evidence in words.

    >>> evidence_label("mood"), evidence_label("expectation.din")
    ("the user's like-rate so far", 'expected by din')
    """
    return _NAMES.get(name, name.replace("expectation.", "expected by "))
