"""Base models and LoRA adapters from disk: loaded whole and unchanged, or refused."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from score_rag.errors import ChangeSetting, ModelError, RunStage
from score_rag.extras import names_extras
from score_rag.files import check_sealed
from score_rag.settings import BUNDLED

__all__ = ["base_digest", "base_folder", "check_base", "load_adapter", "load_causal_model", "load_tuned"]


@names_extras()
def load_causal_model(name: str, *, dtype: str = "float32", device: str | None = None) -> Any:
    """A causal model of transformers, in evaluation mode on its device.

    Args:
        name: A folder with a saved model, or a name on the hub.
        dtype: Of the weights: `float32`, `bfloat16`, `float16`.
        device: `cpu`, `cuda`, ...; the first GPU, if there is one, by default.

    Raises:
        ModelError: It is neither a folder nor in the hub's cache, and the hub cannot be asked.
    """
    import torch
    from transformers import AutoModelForCausalLM

    try:
        model: Any = AutoModelForCausalLM.from_pretrained(name, dtype=getattr(torch, dtype))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"the base model {name!r} cannot be loaded",
            expected="a folder with a saved causal model, or a model that the hub (or its cache on this disk) has",
            found=str(error).splitlines()[0],
            hint=f"with a network: hf download {name}; without",
            remedy=ChangeSetting({"predictor.base": BUNDLED}),
        ) from error
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return model.to(place).eval()


def load_tuned(folder: Path, facts: Mapping[str, Any], *, device: str | None = None) -> Any:
    """The model of a finished predictor: its base, with the adapter where it has one.

    Args:
        folder: What `fit_predictor` saved.
        facts: Content of `predictor.json`.

    Raises:
        ModelError: A part is missing, or the base is not the one that the adapter was trained on.
    """
    check_sealed(folder)
    base = str(folder / "base") if facts["bundled"] else str(facts["base"])
    check_base(base, facts.get("base_digest"))
    model = load_causal_model(base, dtype=facts["dtype"], device=device)
    return load_adapter(model, folder / "adapter") if (folder / "adapter").is_dir() else model


def load_adapter(model: Any, folder: Path) -> Any:
    """The model with a LoRA adapter, every tensor of which has found its place.

    peft only warns of tensors that are missing or have no place, and scores with an adapter that is partly untrained.

    Args:
        model: The base, as `load_causal_model` gives it.
        folder: What peft's `save_pretrained` wrote; weights as safetensors only.

    Raises:
        ModelError: The weights are missing, or tensors are missing, unused or of another shape.
    """
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors import safe_open

    file = Path(folder) / "adapter_model.safetensors"
    if not file.is_file():
        raise ModelError("the adapter has no weights", where=file, remedy=RunStage("predictor", again=True))
    with safe_open(str(file), framework="numpy") as stored:
        given = {name for name in stored.keys() if not _is_embedding(name)}  # noqa: SIM118  # no mapping
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
            # They are counted below, and then they are errors.
            warnings.filterwarnings("ignore", message="Found missing adapter keys.*")
            tuned: Any = PeftModel.from_pretrained(model, str(folder)).eval()
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            "the adapter does not fit the base model", where=folder, found="; ".join(str(error).splitlines()[:2])[:300]
        ) from error
    wanted = set(get_peft_model_state_dict(tuned, save_embedding_layers=False))
    missing, unused = sorted(wanted - given), sorted(given - wanted)
    if missing or unused:
        told = [f"{len(names)} {what} (first: {names[0]})" for what, names in (("missing", missing), ("unused", unused)) if names]
        raise ModelError(
            "the adapter does not fit the base model",
            where=file,
            expected=f"the {len(wanted)} LoRA tensors of this base",
            found=", ".join(told),
            hint="name the base that the adapter was trained on, or train it again",
        )
    return tuned


def _is_embedding(name: str) -> bool:
    """Whether a stored tensor is a copy of the base's embeddings, which peft adds to an adapter as it sees fit."""
    return "lora_" not in name and name.rsplit(".", 2)[-2] in ("embed_tokens", "lm_head")


def base_digest(folder: Path | str) -> str:
    """SHA-256 over a base model's configuration and weights (`config.json`, `*.safetensors`), names and contents, in order.

    Raises:
        ModelError: The folder has no such files.
    """
    folder = Path(folder)
    files = [*folder.glob("config.json"), *sorted(folder.glob("*.safetensors"))]
    if len(files) < 2:
        raise ModelError("this folder holds no model", where=folder, expected="config.json and *.safetensors")
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            own = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{file.name} {own}\n".encode())
    return digest.hexdigest()


def base_folder(name: str) -> Path | None:
    """Where a base lies on this disk: the folder itself, or the hub's cached snapshot; None where it is not here."""
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(name, "config.json")
    except HFValidationError:
        return None
    return Path(config).parent if isinstance(config, str) else None


def check_base(name: str, expected: str | None) -> None:
    """Make sure that a base is the one an adapter was trained on.

    Args:
        name: A folder, or a name on the hub that is in its cache.
        expected: The recorded `base_digest`; None is not checked.

    Raises:
        ModelError: The base has changed, or is not on this disk.
    """
    if expected is None:
        return
    folder = base_folder(name)
    if folder is None:
        raise ModelError(f"the base model {name!r} is not on this disk", hint=f"hf download {name}")
    found = base_digest(folder)
    if found != expected:
        raise ModelError(
            f"the base model {name!r} is not the one that the adapter was trained on",
            where=folder,
            expected=f"digest {expected[:16]}...",
            found=f"digest {found[:16]}...",
            hint="bring back the base's former revision, or train again",
            remedy=RunStage("predictor", again=True),
        )
