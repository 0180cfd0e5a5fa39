"""A training's whole state on disk, after every epoch: killed at any moment, it goes on as if it had not been."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from score_rag.errors import DataError
from score_rag.files import changed_file, digests_of, is_whole, read_json, recover_folder, sealed, staged_folder, write_json

if TYPE_CHECKING:
    import torch

__all__ = ["read_checkpoint", "write_checkpoint"]


def write_checkpoint(
    folder: Path,
    *,
    made_from: str,
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: np.random.Generator,
    average: dict[str, torch.Tensor],
    best: dict[str, torch.Tensor] | None,
    progress: dict[str, Any],
) -> None:
    """Weights, optimizer, both generators, average and best weights, and progress: written aside, then moved into place.

    Args:
        made_from: A word for settings and data; another one is never resumed.
        average: Of the weights over the steps; empty where none is made.
        progress: JSON values of the loop's own.
    """
    import torch
    from safetensors.torch import save_file

    tensors = {f"model.{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"average.{name}": tensor for name, tensor in average.items()}
    tensors |= {f"best.{name}": tensor for name, tensor in (best or {}).items()}
    for place, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{place}.{name}": torch.as_tensor(value) for name, value in state.items()}
    tensors["torch"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["cuda"] = torch.cuda.get_rng_state()
    with staged_folder(folder) as aside:
        save_file({name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}, str(aside / "state.safetensors"))
        state = {"made_from": made_from, "numpy": generator.bit_generator.state, "progress": progress, "digests": digests_of(aside)}
        write_json(aside / "state.json", sealed(state))


def read_checkpoint(
    folder: Path,
    *,
    made_from: str,
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: np.random.Generator,
    average: dict[str, torch.Tensor],
) -> tuple[dict[str, torch.Tensor] | None, dict[str, Any]] | None:
    """Put everything back, `average` in place; (best weights, progress), or None where there is nothing whole of the same making."""
    import torch
    from safetensors.torch import load_file

    recover_folder(folder)
    if not (folder / "state.json").is_file():
        return None
    try:
        state = read_json(folder / "state.json")
    except DataError:
        return None
    if state.get("made_from") != made_from or not is_whole(state) or changed_file(folder, state.get("digests", {})):
        return None
    tensors = load_file(str(folder / "state.safetensors"))
    parts: dict[str, dict[str, torch.Tensor]] = {"model": {}, "average": {}, "best": {}, "optimizer": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        if part in parts:
            parts[part][rest] = tensor
    network.load_state_dict(parts["model"])
    for name, tensor in average.items():
        tensor.copy_(parts["average"][name])
    slots: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in parts["optimizer"].items():
        place, _, slot = name.partition(".")
        slots.setdefault(int(place), {})[slot] = tensor
    optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
    generator.bit_generator.state = state["numpy"]
    torch.set_rng_state(tensors["torch"])
    if "cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["cuda"])
    return parts["best"] or None, state["progress"]
