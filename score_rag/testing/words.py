"""An encoder without a model: texts that share words are near each other. For tests of what is built on encoders."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np

from score_rag.progress import Report, silent

__all__ = ["WordEncoder"]


class WordEncoder:
    """Each word has a direction of its own; a text is the sum of its words.

    Args:
        dimension: Length of the vectors.
        name: Two encoders of one name and dimension are the same.

    Attributes:
        embedded: All texts that were asked for, in order: what a cache saves can be counted.

    >>> one, other, third = WordEncoder().encode(["Liked: Heat.", "Liked: Heat, Ronin.", "Musicals."])
    >>> bool(one @ other > 0.7 > abs(one @ third))
    True
    """

    def __init__(self, dimension: int = 64, *, name: str = "words") -> None:
        self.dimension = dimension
        self.fingerprint = f"{name}-{dimension}"
        self.embedded: list[str] = []

    def encode(self, texts: Sequence[str], *, report: Report = silent) -> np.ndarray:
        """float32 [len(texts), dimension], each of length 1."""
        self.embedded += texts
        out = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in re.findall(r"\w+", text.casefold()) or [""]:
                seed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big")
                out[row] += np.random.default_rng(seed).normal(size=self.dimension)
            report("embedding behaviour", row + 1, len(texts))
        unit: np.ndarray = out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)
        return unit

    async def aencode(self, texts: Sequence[str]) -> np.ndarray:
        """`encode`; it is short."""
        return self.encode(texts)
