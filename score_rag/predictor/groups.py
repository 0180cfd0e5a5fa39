"""From groups of prompts to packs, and to a validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from score_rag.errors import DataError
from score_rag.predictor.packing import Pack, PromptGroup, pack_all
from score_rag.predictor.trainer import Scores, score_packs

__all__ = ["PACKED", "both_answers", "packs_of", "validation_of"]

PACKED = 1024
"""Most tokens of a sequence with several questions."""


def both_answers(train: Sequence[PromptGroup], valid: Sequence[PromptGroup]) -> None:
    for name, groups in (("training", train), ("validation", valid)):
        if len({label for group in groups for label in group.labels}) != 2:
            raise DataError(f"the {name} examples of the predictor have one answer only", expected="both liked and disliked events")


def packs_of(groups: Sequence[PromptGroup], encode: Callable[[str], list[int]]) -> list[Pack]:
    return pack_all(
        (([encode(prompt) for prompt in group.prompts], group.labels, group.targets or group.labels) for group in groups), most=PACKED
    )


def validation_of(packs: Sequence[Pack], answers: tuple[int, int]) -> Callable[[Any], Scores]:
    from score_rag.metrics.auc import auc

    labels = np.concatenate([one.labels for one in packs])
    return lambda model: {"auc": auc(labels, score_packs(model, packs, answers))}
