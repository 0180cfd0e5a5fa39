"""Training of the predictor: the bundled base from scratch where asked for, then LoRA on a frozen base, then calibration."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from score_rag.errors import DataError, ModelError
from score_rag.files import read_json, write_json
from score_rag.predictor.base import fit_tokenizer, new_llama, save_base
from score_rag.predictor.calibration import calibration_error, fit_temperature
from score_rag.predictor.export import export_last_logits
from score_rag.predictor.packing import Pack, PromptGroup, pack_all
from score_rag.predictor.predictor import load_causal_model
from score_rag.predictor.settings import AdapterTraining, BaseTraining
from score_rag.predictor.tokens import answer_ids, wrap_chat
from score_rag.predictor.trainer import PackTraining, Scores, score_packs, train_on_packs
from score_rag.progress import Report, silent
from score_rag.seeds import forked_generators

if TYPE_CHECKING:
    import torch

__all__ = ["fit_adapter", "fit_base"]

_EXPORT_BELOW = 50_000_000
"""Merged models up to so many parameters are also saved as ONNX, for serving without torch."""
_PACKED = 1024
"""Most tokens of a sequence with several questions."""


def fit_base(
    epochs: Sequence[Sequence[PromptGroup]],
    valid: Sequence[PromptGroup],
    folder: Path,
    settings: BaseTraining,
    *,
    max_tokens: int = 512,
    adapter: AdapterTraining | None = None,
    checkpoints: Path | None = None,
    seed: int = 0,
    report: Report = silent,
) -> dict[str, Any]:
    """Train the bundled Llama and save it as any Llama is saved.

    Args:
        epochs: The groups of each epoch.
        valid: Groups to choose the epoch by; never trained on.
        folder: Where to save.
        settings: What it is and how it is trained.
        max_tokens: Longest prompt.
        adapter: Whose `trainer` says how to run.
        checkpoints: Where a killed training is resumed from.

    Returns:
        `{"parameters", "questions", "tokens", "epoch", "valid_auc", "valid_uauc", "valid_auc_by_epoch"}`.

    Raises:
        DataError: One of the two answers never occurs in training or in validation.
    """
    _both_answers(epochs[0], valid)
    texts = [prompt + answer for groups in epochs for group in groups for prompt in group.prompts for answer in (" Yes", " No")]
    tokenizer = fit_tokenizer(texts, folder, vocabulary=settings.vocabulary, max_tokens=max_tokens)

    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text).ids)

    answers = answer_ids(encode, epochs[0][0].prompts[0])
    packs = [_packs(groups, encode) for groups in epochs]
    model = new_llama(
        tokenizer,
        width=settings.width,
        layers=settings.layers,
        heads=settings.heads,
        max_tokens=max(max_tokens, _PACKED),
        seed=seed,
    )
    best = train_on_packs(
        model,
        packs,
        _validation(_packs(valid, encode), answers),
        answers=answers,
        training=PackTraining(settings.batch_size, settings.learning_rate, settings.weight_decay, "all", settings.language_weight),
        trainer=adapter.trainer if adapter is not None else None,
        checkpoints=checkpoints,
        weights=lambda model: dict(model.state_dict()),
        seed=seed,
        report=report,
        doing="training the bundled Llama",
    )
    assert best.best is not None
    model.load_state_dict(best.weights)
    save_base(model, folder)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "questions": sum(len(group.labels) for group in epochs[0]),
        "tokens": sum(len(one) for one in packs[0]),
        "epoch": best.best["epoch"],
        "valid_auc": best.best["score"],
        "valid_auc_by_epoch": [entry["score"] for entry in best.scores],
    }


def fit_adapter(
    train: Sequence[PromptGroup],
    valid: Sequence[PromptGroup],
    folder: Path,
    settings: AdapterTraining,
    *,
    base: str,
    embedded: bool = False,
    checkpoints: Path | None = None,
    seed: int = 0,
    report: Report = silent,
) -> dict[str, Any]:
    """Tune a LoRA adapter; keep the epoch with the best AUC on `valid`, fit a temperature there.

    Where no epoch is better than the base alone, the base alone is served and `used` is false.

    Args:
        train: Groups of prompts.
        valid: Groups to choose the epoch and the temperature by; never trained on.
        folder: Where `adapter/`, `predictor.json` and, for small models, `model.onnx` go. With `embedded`, `folder/base` holds the base.
        base: Hub name or folder of the frozen model.

    Returns:
        `{"questions", "parameters_trained", "used", "epoch", "valid_auc_before", "valid_auc", "valid_auc_by_epoch", "temperature",
        "calibration_error", "tokens_mean"}`; `valid_logits` [questions] beside it, for those who compare.

    Raises:
        DataError: One of the two answers never occurs in `train` or in `valid`.
        ModelError: The base cannot be loaded, or its tokenizer cannot tell the answers apart.
    """
    from peft import LoraConfig, get_peft_model
    from transformers import AutoTokenizer

    _both_answers(train, valid)
    model = _load(base, settings)
    tokenizer = AutoTokenizer.from_pretrained(base)
    encode, plain = _encoders(tokenizer)
    answers = answer_ids(plain, wrap_chat(tokenizer, train[0].prompts[0]))
    packs, valid_packs = _packs(train, encode), _packs(valid, encode)
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
    best = train_on_packs(
        tuned,
        [packs] * settings.epochs,
        _validation(valid_packs, answers),
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
    temperature = fit_temperature(logits, labels)
    if used:
        tuned.save_pretrained(str(folder / "adapter"))
        # The card says nothing, and where the bundled base lay while it was trained is no part of the result.
        (folder / "adapter" / "README.md").unlink(missing_ok=True)
        if embedded:
            told = read_json(folder / "adapter" / "adapter_config.json")
            write_json(folder / "adapter" / "adapter_config.json", {**told, "base_model_name_or_path": "base"})
    write_json(
        folder / "predictor.json",
        {
            "base": "embedded" if embedded else base,
            "embedded": embedded,
            "adapter": used,
            "dtype": settings.dtype,
            "max_tokens": settings.max_tokens,
            "yes": answers[0],
            "no": answers[1],
            "temperature": temperature,
        },
    )
    trained = sum(p.numel() for p in tuned.parameters() if p.requires_grad)
    if embedded and sum(p.numel() for p in model.parameters()) <= _EXPORT_BELOW:
        export_last_logits(tuned.merge_and_unload() if used else tuned.unload(), folder / "model.onnx")
    return {
        "questions": sum(len(group.labels) for group in train),
        "parameters_trained": trained,
        "used": used,
        "epoch": best.best["epoch"],
        "valid_auc_before": best.scores[0]["score"],
        "valid_auc": best.best["score"],
        "valid_auc_by_epoch": [entry["score"] for entry in best.scores[1:]],
        "temperature": temperature,
        "calibration_error": calibration_error(1 / (1 + np.exp(-logits / temperature)), labels),
        "tokens_mean": float(np.mean([len(encode(prompt)) for group in valid for prompt in group.prompts])),
        "valid_logits": logits / temperature,
    }


def _load(base: str, settings: AdapterTraining) -> Any:
    """The frozen base, in four bits where QLoRA is asked for."""
    if settings.quantize == "none":
        return load_causal_model(base, dtype=settings.dtype)
    import importlib.util

    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError("quantize: 4bit needs bitsandbytes", hint="pip install bitsandbytes")
    import torch
    from peft import prepare_model_for_kbit_training
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    compute = torch.bfloat16 if settings.dtype == "bfloat16" else torch.float16
    four: Any = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute, bnb_4bit_use_double_quant=True
    )
    model = AutoModelForCausalLM.from_pretrained(base, quantization_config=four, device_map={"": torch.cuda.current_device()})
    return prepare_model_for_kbit_training(  # type: ignore[no-untyped-call]
        model, use_gradient_checkpointing=settings.trainer.checkpoint_gradients
    )


def _both_answers(train: Sequence[PromptGroup], valid: Sequence[PromptGroup]) -> None:
    for name, groups in (("training", train), ("validation", valid)):
        if len({label for group in groups for label in group.labels}) != 2:
            raise DataError(f"the {name} examples of the predictor have one answer only", expected="both liked and disliked events")


def _packs(groups: Sequence[PromptGroup], encode: Callable[[str], list[int]]) -> list[Pack]:
    return pack_all((([encode(prompt) for prompt in group.prompts], group.labels) for group in groups), most=_PACKED)


def _validation(packs: Sequence[Pack], answers: tuple[int, int]) -> Callable[[Any], Scores]:
    from score_rag.metrics.auc import auc

    labels = np.concatenate([one.labels for one in packs])
    return lambda model: {"auc": auc(labels, score_packs(model, packs, answers))}


def _encoders(tokenizer: Any) -> tuple[Callable[[str], list[int]], Callable[[str], list[int]]]:
    """(A prompt to tokens as the model reads it, a text to tokens as it stands)."""
    chat = bool(getattr(tokenizer, "chat_template", None))

    def plain(text: str) -> list[int]:
        # A chat form brings its own beginning-of-text token; a second one would shift every score.
        return list(tokenizer(text, add_special_tokens=not chat)["input_ids"])

    return (lambda text: plain(wrap_chat(tokenizer, text))), plain


def _adapter_weights(model: Any) -> Mapping[str, torch.Tensor]:
    return {name: tensor for name, tensor in model.state_dict().items() if "lora_" in name}
