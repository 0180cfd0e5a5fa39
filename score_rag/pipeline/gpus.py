"""Graphics cards by name: memory and dense bfloat16 arithmetic, from the makers' public data sheets."""

from __future__ import annotations

from dataclasses import dataclass

from score_rag.errors import InputError, did_you_mean

__all__ = ["GPUS", "Gpu", "find_gpu"]


@dataclass(frozen=True)
class Gpu:
    """One card.

    Attributes:
        memory: GB (1e9 bytes are taken for each, a little less than there are).
        tflops: Dense bfloat16 on tensor cores (without sparsity); float16 where there is no bfloat16.
    """

    name: str
    memory: int
    tflops: float


GPUS = {
    gpu.name: gpu
    for gpu in (
        Gpu("a100-40", 40, 312.0),
        Gpu("a100-80", 80, 312.0),
        Gpu("h100", 80, 989.0),  # SXM5
        Gpu("h100-pcie", 80, 756.0),
        Gpu("h200", 141, 989.0),
        Gpu("l4", 24, 121.0),
        Gpu("l40s", 48, 362.0),
        Gpu("a10g", 24, 70.0),
        Gpu("rtx-3090", 24, 71.0),
        Gpu("rtx-4090", 24, 165.0),
        Gpu("t4", 16, 65.0),
        Gpu("v100-32", 32, 125.0),
    )
}


def find_gpu(name: str) -> Gpu:
    """A card by name.

    Raises:
        InputError: It is not in the table.
    """
    if name not in GPUS:
        raise InputError(f"the card {name!r} is not known", where="--gpu", expected=", ".join(GPUS), hint=did_you_mean(name, GPUS))
    return GPUS[name]
