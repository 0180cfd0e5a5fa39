"""What kind of model a folder holds, told by its configuration alone: a misfit is refused before anything runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from score_rag.errors import ChangeSetting, ModelError
from score_rag.settings import BUNDLED

__all__ = ["check_kind"]

_GENERATES = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel")
_RANKS = "ForSequenceClassification"


def check_kind(folder: Path, wanted: Literal["bi-encoder", "cross-encoder"], *, setting: str) -> None:
    """A folder's model can become what is wanted of it.

    A bi-encoder gives each text a vector, which a cross-encoder's weights were not trained for. A cross-encoder starts from an encoder or a
    cross-encoder of one score.

    Raises:
        ModelError: It cannot.
    """
    try:
        told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        names = [str(name) for name in told.get("architectures") or []]
        labels = told.get("num_labels") or len(told.get("id2label") or {}) or 1
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ModelError("a model's configuration cannot be read", where=folder / "config.json", found=str(error)) from error
    found = None
    if any(name.endswith(_GENERATES) for name in names):
        found = f"a model that writes text ({', '.join(names)})"
    elif any(name.endswith(_RANKS) for name in names):
        if wanted == "bi-encoder":
            found = f"a cross-encoder or classifier ({', '.join(names)})"
        elif labels > 1:
            found = f"a classifier of {labels} classes ({', '.join(names)})"
    if found is not None:
        raise ModelError(
            f"this model cannot be used as a {wanted}",
            where=f"{setting}: {folder}",
            expected="an encoder" if wanted == "bi-encoder" else "an encoder, or a cross-encoder of one score",
            found=found,
            remedy=ChangeSetting({setting: BUNDLED}),
        )
