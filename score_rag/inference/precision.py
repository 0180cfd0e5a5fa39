"""What this machine multiplies natively."""

from __future__ import annotations

__all__ = ["fast_bfloat16"]


def fast_bfloat16() -> bool:
    """Whether bfloat16 is native here, and so about twice as fast, at a cosine of .9999 to float32."""
    import torch

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    found = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
