"""Binary codes: vectors hashed to bits, told as dotted decimals (after BinLLM, Zhang et al. 2024).

BinLLM learns its hash together with the recommender; here it is the sign of random projections (Charikar, 2002), so that two codes differ
in about as many bits as their vectors are apart in angle, whatever recommender made them.
"""

from __future__ import annotations

import numpy as np

__all__ = ["BinaryCodes", "dotted"]


def dotted(bits: np.ndarray) -> str:
    """Bits as decimals of eight each, the most significant bit first, as internet addresses are written.

    >>> dotted(np.array([1, 0, 1, 0, 1, 1, 0, 0] + [0, 0, 0, 1, 0, 0, 0, 0]))
    '172.16'
    """
    return ".".join(map(str, np.packbits(np.asarray(bits, dtype=np.uint8)).tolist()))


class BinaryCodes:
    """Hashes vectors of one space.

    Args:
        vectors: [n, dim], whose mean is the origin of angles.
        bits: A multiple of eight; BinLLM's 32.
        seed: Of the projections.
    """

    def __init__(self, vectors: np.ndarray, *, bits: int = 32, seed: int = 0) -> None:
        self.origin = np.asarray(vectors, dtype=np.float64).mean(axis=0)
        self.directions = np.random.default_rng(seed).standard_normal((vectors.shape[1], bits))

    def bits(self, vectors: np.ndarray) -> np.ndarray:
        """uint8 [n, bits] of 0 and 1."""
        found: np.ndarray = (np.asarray(vectors, dtype=np.float64) - self.origin) @ self.directions > 0
        return found.astype(np.uint8)

    def tell(self, vectors: np.ndarray) -> list[str]:
        """Each vector's code."""
        return [dotted(row) for row in self.bits(vectors)]
