"""The words that settings of the data choose from, each list once."""

from __future__ import annotations

from typing import Literal

__all__ = ["EVENT_NAMES", "ITEM_NAMES", "LIST_NAMES", "History", "Sampling", "Split", "SplitKind", "Ties", "UnknownItems"]

Split = Literal["train", "valid", "test"]
"""What events are learned from, chosen by, and judged on."""

SplitKind = Literal["quantiles", "months", "leave-last-out", "column"]
"""How events are split; see `score_rag.data.split`."""

History = Literal["all", "positives"]
"""Which of a user's judgements models and prompts read."""

Ties = Literal["strict", "file-order"]
"""Whether an event of the same second and an earlier row counts as earlier."""

Sampling = Literal["uniform", "popularity"]
"""How negatives are sampled."""

UnknownItems = Literal["keep", "drop"]
"""What becomes of events whose item is not in the catalogue: kept under the item's id, or left out."""

EVENT_NAMES = ("user_id", "item_id", "rating", "label", "timestamp", "split")
"""What a file of events may tell."""

ITEM_NAMES = ("item_id", "title", "year", "genres", "creators", "keywords")
"""What a catalogue may tell."""

LIST_NAMES = ("genres", "creators", "keywords")
"""What a catalogue tells in lists."""
