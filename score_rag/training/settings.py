"""How training runs on this machine: what changes its speed and memory, and nothing that is learned."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from score_rag.settings import Settings, serving

__all__ = ["TrainerSettings", "trainer_arguments"]


class TrainerSettings(Settings):
    """Settings of transformers' trainer that all trained parts share."""

    accumulation: int = Field(1, ge=1, description="batches whose gradients are summed before a step")
    checkpoint_gradients: Annotated[bool, serving()] = Field(
        False, description="compute activations twice instead of keeping them: less memory, slower"
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="of forward and backward passes; auto is bfloat16 on a GPU that multiplies it natively, else float32"
    )
    save_every: Annotated[int, serving()] = Field(
        200, ge=1, description="steps between checkpoints, from which a killed training resumes to the same weights"
    )
    report_to: Annotated[str | None, serving()] = Field(
        None, description="tensorboard | mlflow | wandb: where losses are logged, if that package is installed"
    )


def trainer_arguments(settings: TrainerSettings, checkpoints: Path, *, seed: int) -> dict[str, Any]:
    """Keyword arguments for `TrainingArguments` and its subclasses.

    Args:
        settings: How to run.
        checkpoints: Folder of the checkpoints.
        seed: Of weights and data order.
    """
    import torch

    from score_rag.inference.precision import fast_bfloat16

    gpu = torch.cuda.is_available()
    bf16 = settings.precision == "bfloat16" or (settings.precision == "auto" and gpu and fast_bfloat16())
    from transformers import TrainingArguments

    # Renamed in transformers 5.2x; the old name is gone in 6.
    known = TrainingArguments.__dataclass_fields__
    name = "activation_checkpointing" if "activation_checkpointing" in known else "gradient_checkpointing"
    memory = {name: True} if settings.checkpoint_gradients else {}
    return {
        **memory,
        "output_dir": str(checkpoints),
        "gradient_accumulation_steps": settings.accumulation,
        "bf16": bf16,
        "fp16": settings.precision == "float16" and gpu,
        "save_strategy": "steps",
        "save_steps": settings.save_every,
        "save_total_limit": 2,
        "logging_strategy": "steps" if settings.report_to else "no",
        "logging_steps": 10,
        "report_to": [settings.report_to] if settings.report_to else [],
        "eval_strategy": "no",
        "disable_tqdm": True,
        "seed": seed,
        "data_seed": seed,
        "use_cpu": not gpu,
        "dataloader_pin_memory": gpu,
    }
