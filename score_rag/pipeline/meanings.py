"""What a setting means, in a line: as its model says."""

from __future__ import annotations

from score_rag.settings import Setting

__all__ = ["meaning"]

_PREDICTOR = {
    "base": "embedded (a small Llama trained from scratch) | a hub name such as meta-llama/Llama-3.1-8B-Instruct | a folder",
    "embedded_base.width": "width of its layers",
    "embedded_base.layers": "its layers",
    "embedded_base.heads": "its attention heads, a divisor of the width",
    "embedded_base.vocabulary": "tokens of its own tokenizer",
    "embedded_base.max_tokens": "longest text it reads",
    "embedded_base.questions": "most questions a training text",
    "embedded_base.texts": "texts an epoch",
    "embedded_base.epochs": "over all texts",
    "embedded_base.batch_size": "texts",
    "embedded_base.learning_rate": "of AdamW",
    "embedded_base.weight_decay": "of AdamW",
    "embedded_base.language_weight": "weight of the plain language-model loss",
    "prompt": "prompts/predict.md",
    "history": "most recent events told",
    "crowd": "retrieved users whose verdicts on the item are told as counts",
    "examples": "questions to tune on",
    "max_tokens": "longest prompt",
    "lora_rank": "rank of the low-rank additions",
    "lora_alpha": "their scale",
    "lora_dropout": "while tuning",
    "lora_targets": "modules they are added to",
    "epochs": "over all examples",
    "batch_size": "examples",
    "learning_rate": "of AdamW",
    "weight_decay": "of AdamW",
    "dtype": "float32 | bfloat16 | float16, of the base",
}
"""For those of the predictor whose model does not say it itself."""


def meaning(setting: Setting) -> str:
    """The description in the setting's model."""
    return setting.field.description or _PREDICTOR.get(setting.name.removeprefix("predictor."), "")
