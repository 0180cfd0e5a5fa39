"""LoRA on a frozen base, then calibration."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from score_rag.extras import names_extras
from score_rag.files import read_json, share, write_json
from score_rag.metrics.probability import calibration_error
from score_rag.predictor.calibration import fit_calibration
from score_rag.predictor.export import export_last_logits
from score_rag.predictor.groups import both_answers, packs_of, validation_of
from score_rag.predictor.load import base_digest, base_folder
from score_rag.predictor.packing import PromptGroup
from score_rag.predictor.quantize import load_base
from score_rag.predictor.settings import AdapterTraining
from score_rag.predictor.tokens import answer_ids, wrap_chat
from score_rag.predictor.trainer import PackTraining, score_packs, train_on_packs
from score_rag.progress import Report, silent
from score_rag.seeds import forked_generators

if TYPE_CHECKING:
    import torch

    from score_rag.predictor.soft import SoftTokens

__all__ = ["fit_adapter"]

_EXPORT_BELOW = 50_000_000
"""Merged models up to so many parameters are also saved as ONNX, for serving without torch."""


@names_extras()
def fit_adapter(
    train: Sequence[PromptGroup],
    valid: Sequence[PromptGroup],
    folder: Path,
    settings: AdapterTraining,
    *,
    base: str,
    bundled: bool = False,
    checkpoints: Path | None = None,
    soft: SoftTokens | None = None,
    seed: int = 0,
    report: Report = silent,
) -> dict[str, Any]:
    """Tune a LoRA adapter; keep the epoch with the best AUC on `valid`, fit a temperature there.

    Where no epoch is better than the base alone, the base alone is served and `used` is false.

    Args:
        train: Groups of prompts.
        valid: Groups to choose the epoch and the temperature by; never trained on.
        folder: Where `adapter/`, `predictor.json` and, for small models, `model.onnx` go. With `bundled`, `folder/base` holds the base.
        base: Hub name or folder of the frozen model.
        soft: What the prompts' soft tokens are; their projection is trained with the adapter.

    Returns:
        `{"questions", "parameters_trained", "used", "epoch", "valid_auc_before", "valid_auc", "valid_auc_by_epoch", "temperature",
        "shift", "calibration_error", "tokens_mean"}`; `valid_logits` [questions] beside it, for those who compare.

    Raises:
        DataError: One of the two answers never occurs in `train` or in `valid`.
        ModelError: The base cannot be loaded, or its tokenizer cannot tell the answers apart.
    """
    from peft import LoraConfig, get_peft_model
    from transformers import AutoTokenizer

    both_answers(train, valid)
    model = load_base(base, settings)
    tokenizer = AutoTokenizer.from_pretrained(base)
    encode, plain = _encoders(tokenizer)
    answers = answer_ids(plain, wrap_chat(tokenizer, soft.without_marks(train[0].prompts[0]) if soft else train[0].prompts[0]))
    if soft is not None:
        soft.attach(model, seed=seed)
        encode = _soft_encoder(soft, tokenizer, model)
    packs, valid_packs = packs_of(train, encode), packs_of(valid, encode)
    config = LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=list(settings.lora_targets),
        task_type="CAUSAL_LM",
    )
    with warnings.catch_warnings(), forked_generators(seed):
        # peft asks transformers for a name that transformers has since renamed.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        tuned: Any = get_peft_model(model, config)
    if soft is not None:
        soft.projector.requires_grad_(True)
    best = train_on_packs(
        tuned,
        [packs] * settings.epochs,
        validation_of(valid_packs, answers),
        answers=answers,
        training=PackTraining(settings.batch_size, settings.learning_rate, settings.weight_decay, "answers", settings.language_weight),
        trainer=settings.trainer,
        checkpoints=checkpoints,
        weights=_adapter_weights,
        before=True,
        seed=seed,
        report=report,
        doing="tuning the predictor (LoRA)",
    )
    assert best.best is not None
    tuned.load_state_dict(best.weights, strict=False)
    tuned.eval()
    used = best.best["epoch"] > 0
    logits = score_packs(tuned, valid_packs, answers)
    labels = np.concatenate([one.labels for one in valid_packs])
    calibration = fit_calibration(logits, labels)
    if used:
        tuned.save_pretrained(str(folder / "adapter"))
        share(folder / "adapter")
        # The card says nothing, and where the bundled base lay while it was trained is no part of the result.
        (folder / "adapter" / "README.md").unlink(missing_ok=True)
        if bundled:
            told = read_json(folder / "adapter" / "adapter_config.json")
            write_json(folder / "adapter" / "adapter_config.json", {**told, "base_model_name_or_path": "base"})
    if soft is not None:
        soft.save(folder)
    there = base_folder(base)
    write_json(
        folder / "predictor.json",
        {
            "base": "bundled" if bundled else base,
            "bundled": bundled,
            "adapter": used,
            **({"base_digest": base_digest(there)} if there is not None else {}),
            "dtype": settings.dtype,
            "max_tokens": settings.max_tokens,
            "yes": answers[0],
            "no": answers[1],
            "temperature": calibration.temperature,
            "shift": calibration.shift,
        },
    )
    trained = sum(p.numel() for p in tuned.parameters() if p.requires_grad)
    if bundled and soft is None and sum(p.numel() for p in model.parameters()) <= _EXPORT_BELOW:
        export_last_logits(tuned.merge_and_unload() if used else tuned.unload(), folder / "model.onnx")
    return {
        "questions": sum(len(group.labels) for group in train),
        "parameters_trained": trained,
        "used": used,
        "epoch": best.best["epoch"],
        "valid_auc_before": best.scores[0]["score"],
        "valid_auc": best.best["score"],
        "valid_auc_by_epoch": [entry["score"] for entry in best.scores[1:]],
        "temperature": calibration.temperature,
        "shift": calibration.shift,
        "calibration_error": calibration_error(calibration.probabilities(logits), labels),
        "tokens_mean": float(np.mean([len(encode(prompt)) for group in valid for prompt in group.prompts])),
        "valid_logits": (logits - calibration.shift) / calibration.temperature,
    }


def _soft_encoder(soft: SoftTokens, tokenizer: Any, model: Any) -> Callable[[str], list[int]]:
    """A prompt with soft tokens to the ids that the model reads."""
    read = soft.encoder(_encoders(tokenizer)[1], len(model.get_input_embeddings().weight))
    return lambda text: read(wrap_chat(tokenizer, text))


def _encoders(tokenizer: Any) -> tuple[Callable[[str], list[int]], Callable[[str], list[int]]]:
    """(A prompt to tokens as the model reads it, a text to tokens as it stands)."""
    chat = bool(getattr(tokenizer, "chat_template", None))

    def plain(text: str) -> list[int]:
        # A chat form brings its own beginning-of-text token; a second one would shift every score.
        return list(tokenizer(text, add_special_tokens=not chat)["input_ids"])

    return (lambda text: plain(wrap_chat(tokenizer, text))), plain


def _adapter_weights(model: Any) -> Mapping[str, torch.Tensor]:
    return {name: tensor for name, tensor in model.state_dict().items() if "lora_" in name or ".projector." in name}
