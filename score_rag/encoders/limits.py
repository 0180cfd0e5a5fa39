"""How much an encoder can read, told by its configuration alone: for settings, before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path

from score_rag.settings import BUNDLED

__all__ = ["longest_input"]

_BUNDLED_POSITIONS = 512
"""Positions of all-MiniLM-L6-v2."""

_OFFSET = {"roberta": 2, "xlm-roberta": 2, "camembert": 2, "mpnet": 2}
"""Positions that a kind of model keeps for padding."""


def longest_input(encoder: Path | str) -> int | None:
    """Most tokens that an encoder has positions for; None where its configuration is not on this disk, or says nothing.

    Args:
        encoder: `bundled`, a folder, or a hub name.
    """
    if str(encoder) == BUNDLED:
        return _BUNDLED_POSITIONS
    file = Path(encoder).expanduser() / "config.json"
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        return int(told["max_position_embeddings"]) - _OFFSET.get(told.get("model_type"), 0)
    except (OSError, ValueError, KeyError, TypeError):
        return None
