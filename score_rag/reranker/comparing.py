"""Vectors by which assessments are compared with behaviours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from score_rag.extras import names_extras
from score_rag.inference.precision import fast_bfloat16
from score_rag.progress import Report

__all__ = ["embed_texts"]


@names_extras()
def embed_texts(folder: Path, texts: Sequence[str], report: Report) -> np.ndarray:
    """float32 [len(texts), dim], each of length 1, by the bi-encoder in a folder; equal texts are computed once."""
    import torch
    from sentence_transformers import SentenceTransformer

    # Texts are only ranked by these vectors, which bfloat16 leaves as they are to a cosine of .9999.
    kind = torch.bfloat16 if fast_bfloat16() else torch.float32
    model = SentenceTransformer(str(folder), local_files_only=True, model_kwargs={"dtype": kind})
    model.max_seq_length = 128
    unique = list(dict.fromkeys(texts))
    parts = []
    for start in range(0, len(unique), 256):
        part = model.encode(
            unique[start : start + 256], batch_size=32, normalize_embeddings=True, show_progress_bar=False, convert_to_tensor=True
        )
        parts.append(part.float().cpu().numpy())
        report("comparing behaviours with assessments", min(start + 256, len(unique)), len(unique))
    place = {text: row for row, text in enumerate(unique)}
    vectors: np.ndarray = np.concatenate(parts)[[place[text] for text in texts]]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors
