"""The frozen base as it is tuned: whole, or in four bits (QLoRA)."""

from __future__ import annotations

from typing import Any

from score_rag.errors import ModelError
from score_rag.predictor.load import load_causal_model
from score_rag.predictor.settings import AdapterTraining

__all__ = ["load_base"]


def load_base(base: str, settings: AdapterTraining) -> Any:
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
