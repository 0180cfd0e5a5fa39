"""What the tests of retriever_train share."""

from __future__ import annotations

import numpy as np
import torch

from score_rag.retriever.examples import Neighbourhood


def ring(users: int = 30) -> Neighbourhood:
    """User n's neighbours are the next two."""
    table = np.array([[(user + 1) % users, (user + 2) % users] for user in range(users)])
    return Neighbourhood([str(n) for n in range(users)], table, [[f"old {n}", f"new {n}"] for n in range(users)])


def network(kind: str):
    """A random encoder of two layers."""
    from transformers import (
        BertConfig,
        BertModel,
        DistilBertConfig,
        DistilBertModel,
        ModernBertConfig,
        ModernBertModel,
        MPNetConfig,
        MPNetModel,
    )

    torch.manual_seed(5)
    size = {
        "vocab_size": 16,
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "pad_token_id": 0,
        "initializer_range": 0.3,
    }
    if kind == "bert":
        return BertModel(BertConfig(**size, max_position_embeddings=40))
    if kind == "mpnet":
        return MPNetModel(MPNetConfig(**{**size, "pad_token_id": 1}, max_position_embeddings=42))
    if kind == "modernbert":
        ends = {name: 2 for name in ("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")}
        return ModernBertModel(ModernBertConfig(**size, **ends, max_position_embeddings=40))
    return DistilBertModel(
        DistilBertConfig(initializer_range=0.3, vocab_size=16, dim=24, n_layers=2, n_heads=2, hidden_dim=32, max_position_embeddings=40)
    )
