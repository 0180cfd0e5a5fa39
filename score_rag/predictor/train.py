"""LoRA: a frozen base model learns to answer prompts, the embedded half-million-parameter one by the same lines as an 8B one."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from score_rag.errors import DataError
from score_rag.files import read_json, write_json
from score_rag.predictor.predictor import load_causal_model, score_tokens
from score_rag.predictor.tokens import answer_ids, wrap_chat
from score_rag.progress import Report, silent

__all__ = ["fit_predictor"]

_EXPORT_BELOW = 50_000_000
"""Merged models up to so many parameters are also saved as ONNX, for serving without torch."""


def fit_predictor(
    train: tuple[Sequence[str], Sequence[int]],
    valid: tuple[Sequence[str], Sequence[int]],
    folder: Path,
    *,
    base: str,
    embedded: bool = False,
    max_tokens: int = 512,
    lora_rank: int = 8,
    lora_alpha: int = 16,
    lora_dropout: float = 0.05,
    lora_targets: Sequence[str] = ("q_proj", "v_proj"),
    epochs: int = 2,
    batch_size: int = 16,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-3,
    dtype: str = "float32",
    seed: int = 0,
    report: Report = silent,
) -> dict[str, Any]:
    """Tune a LoRA adapter on (prompt, 1 = Yes) pairs; keep the epoch with the best AUC on `valid`.

    The loss is the cross-entropy of the answer's token over the whole vocabulary, so that the two answers keep their mass.

    Args:
        train: Prompts and labels.
        valid: Prompts and labels to choose the epoch by; never trained on.
        folder: Where `adapter/`, `predictor.json` and, for small models, `model.onnx` go. With `embedded`, `folder/base` holds the base.
        base: Hub name or folder of the frozen model.

    Returns:
        `{"examples", "valid_auc", "valid_auc_before", "epoch", "parameters_trained"}`.

    Raises:
        DataError: One of the two answers never occurs in `train` or in `valid`.
        ModelError: The base cannot be loaded, or its tokenizer cannot tell the answers apart.
    """
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoTokenizer, Trainer, TrainerCallback, TrainingArguments, set_seed

    from score_rag.metrics.auc import auc

    for name, (_, labels) in (("training", train), ("validation", valid)):
        if len(set(labels)) != 2:
            raise DataError(f"the {name} examples of the predictor have one answer only", expected="both liked and disliked events")
    set_seed(seed)
    model = load_causal_model(base, dtype=dtype)
    tokenizer = AutoTokenizer.from_pretrained(base)
    chat = bool(getattr(tokenizer, "chat_template", None))

    def encode(text: str) -> list[int]:
        return list(tokenizer(wrap_chat(tokenizer, text), add_special_tokens=not chat)["input_ids"])

    def encode_plain(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=not chat)["input_ids"])

    yes, no = answer_ids(encode_plain, wrap_chat(tokenizer, train[0][0]))
    rows = [encode(prompt)[-max_tokens:] for prompt in train[0]]
    valid_rows = [encode(prompt)[-max_tokens:] for prompt in valid[0]]
    valid_labels = np.asarray(valid[1])

    config = LoraConfig(
        r=lora_rank, lora_alpha=lora_alpha, lora_dropout=lora_dropout, target_modules=list(lora_targets), task_type="CAUSAL_LM"
    )
    with warnings.catch_warnings():
        # peft asks transformers for a name that transformers has since renamed.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        tuned = get_peft_model(model, config)
    before = auc(valid_labels, score_tokens(tuned, valid_rows, yes, no)[:, 0])
    best: dict[str, Any] = {"auc": before, "epoch": 0, "weights": _adapter_weights(tuned)}
    by_epoch: list[float] = []

    class KeepBest(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            report("tuning the predictor (LoRA)", state.global_step, state.max_steps)

        def on_epoch_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            value = auc(valid_labels, score_tokens(tuned, valid_rows, yes, no)[:, 0])
            by_epoch.append(value)
            if value > best["auc"]:
                best.update(auc=value, epoch=len(by_epoch), weights=_adapter_weights(tuned))

    class AnswerTrainer(Trainer):
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
            wanted = inputs.pop("wanted")
            output = model(**inputs, use_cache=False, logits_to_keep=1)
            loss = torch.nn.functional.cross_entropy(output.logits[:, -1].float(), wanted)
            return (loss, output) if return_outputs else loss

    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0

    def collate(batch: Sequence[tuple[list[int], int]]) -> dict[str, torch.Tensor]:
        longest = max(len(row) for row, _ in batch)
        ids = torch.full((len(batch), longest), pad)
        mask = torch.zeros((len(batch), longest), dtype=torch.long)
        for place, (row, _) in enumerate(batch):
            ids[place, longest - len(row) :] = torch.tensor(row)
            mask[place, longest - len(row) :] = 1
        wanted = torch.tensor([yes if label else no for _, label in batch])
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        return {"input_ids": ids, "attention_mask": mask, "position_ids": positions, "wanted": wanted}

    arguments = TrainingArguments(
        output_dir=str(folder / "trainer"),
        num_train_epochs=epochs,
        per_device_train_batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        lr_scheduler_type="linear",
        warmup_steps=10,
        seed=seed,
        data_seed=seed,
        save_strategy="no",
        logging_strategy="no",
        eval_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        train_sampling_strategy="random",
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    trainer = AnswerTrainer(
        model=tuned,
        args=arguments,
        train_dataset=list(zip(rows, train[1], strict=True)),
        data_collator=collate,
        callbacks=[KeepBest()],
    )
    # The trainer prints its own log through a callback that is there even when everything else is off.
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    trainer.train()

    tuned.load_state_dict(best["weights"], strict=False)
    tuned.eval()
    shutil.rmtree(folder / "trainer", ignore_errors=True)
    tuned.save_pretrained(str(folder / "adapter"))
    # The card says nothing, and where the embedded base lay while it was trained is no part of the result.
    (folder / "adapter" / "README.md").unlink(missing_ok=True)
    if embedded:
        told = read_json(folder / "adapter" / "adapter_config.json")
        write_json(folder / "adapter" / "adapter_config.json", {**told, "base_model_name_or_path": "base"})
    settings = {
        "base": "embedded" if embedded else base,
        "embedded": embedded,
        "dtype": dtype,
        "max_tokens": max_tokens,
        "yes": yes,
        "no": no,
    }
    write_json(folder / "predictor.json", settings)
    trained = sum(p.numel() for p in tuned.parameters() if p.requires_grad)
    if embedded and sum(p.numel() for p in model.parameters()) <= _EXPORT_BELOW:
        _export(tuned.merge_and_unload(), folder / "model.onnx")
    return {
        "examples": len(rows),
        "parameters_trained": trained,
        "valid_auc_before": before,
        "valid_auc": best["auc"],
        "valid_auc_by_epoch": by_epoch,
        "epoch": best["epoch"],
        "tokens_mean": float(np.mean([len(row) for row in rows])),
    }


def _adapter_weights(model: Any) -> dict[str, Any]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items() if "lora_" in name}


def _export(model: Any, path: Path) -> None:
    """Save logits-at-the-last-place of a (merged) model as ONNX."""
    import torch

    from score_rag.inference.onnx import export_onnx

    class LastLogits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model.eval()

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            positions = (attention_mask.cumsum(1) - 1).clamp(min=0)
            output = self.model(
                input_ids=input_ids, attention_mask=attention_mask, position_ids=positions, use_cache=False, logits_to_keep=1
            )
            return output.logits[:, -1]  # type: ignore[no-any-return]

    example = {"input_ids": torch.full((2, 16), 5), "attention_mask": torch.ones((2, 16), dtype=torch.long)}
    export_onnx(LastLogits(), example, path, output="logits")
