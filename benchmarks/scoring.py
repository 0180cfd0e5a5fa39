"""Scoring 200 candidates of one user: shared beginning against Hugging Face, one prompt a pair, batched.

    python benchmarks/scoring.py [--candidates 200] [--prefix 400] [--suffix 12] [--models small 100m]

Theirs is the usual loop: pad to the left, 16 prompts a batch, last logits. Both run in the same process, in turn, on one thread; CPU
seconds of the best round count, so that a busy machine changes little. The limit is arithmetic: tokens computed by theirs over tokens
computed by ours. Weights are random.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from transformers import LlamaConfig, LlamaForCausalLM

from score_rag.predictor.engines.torch import pad_left, score_tokens

SIZES: dict[str, dict[str, Any]] = {
    "small": {"hidden_size": 96, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 2000},
    "100m": {"hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 12, "vocab_size": 16000},
}


def hugging_face(model: Any, rows: list[list[int]], yes: int, no: int, *, batch: int = 16) -> np.ndarray:
    """P(Yes) of each row, as the documentation of transformers would have it."""
    out = []
    with torch.inference_mode():
        for start in range(0, len(rows), batch):
            ids, mask = pad_left(rows[start : start + batch])
            logits = model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask), logits_to_keep=1).logits[:, -1]
            out.append(torch.softmax(logits[:, [yes, no]], dim=1)[:, 0].numpy())
    return np.concatenate(out)


def best(compute: Callable[[], object], rounds: int) -> float:
    """Least CPU seconds of several rounds."""
    seconds = []
    for _ in range(rounds):
        start = time.process_time()
        compute()
        seconds.append(time.process_time() - start)
    return min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=200)
    parser.add_argument("--prefix", type=int, default=400)
    parser.add_argument("--suffix", type=int, default=12)
    parser.add_argument("--models", nargs="+", choices=list(SIZES), default=list(SIZES))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    table = Table("model", "parameters", "theirs, s", "ours, s", "ratio", "limit", "share of the limit", "largest |dp|")
    for name in asked.models:
        torch.manual_seed(0)
        config = LlamaConfig(**SIZES[name], max_position_embeddings=1024, tie_word_embeddings=True, attn_implementation="sdpa")
        model = LlamaForCausalLM(config).eval()
        generator = np.random.default_rng(0)
        draw = lambda count: generator.integers(3, SIZES[name]["vocab_size"], count).tolist()  # noqa: B023, E731
        beginning = draw(asked.prefix)
        rows = [beginning + draw(asked.suffix) for _ in range(asked.candidates)]
        rounds = 3 if name == "small" else 1
        hugging_face(model, rows[:16], 5, 6)
        score_tokens(model, rows[:16], 5, 6)
        ours = best(lambda: score_tokens(model, rows, 5, 6), rounds + 1)  # noqa: B023
        # A tenth of the rows is enough for the large model: they are computed one like another.
        some = rows if name == "small" else rows[: max(len(rows) // 10, 16)]
        theirs = best(lambda: hugging_face(model, some, 5, 6), rounds) * len(rows) / len(some)  # noqa: B023
        apart = np.abs(hugging_face(model, rows[:32], 5, 6) - score_tokens(model, rows, 5, 6)[:32, 0]).max()
        limit = asked.candidates * (asked.prefix + asked.suffix) / (asked.prefix + asked.candidates * asked.suffix)
        parameters = sum(weight.numel() for weight in model.parameters())
        ratio = theirs / ours
        cells = (f"{theirs:.2f}", f"{ours:.3f}", f"{ratio:.1f}", f"{limit:.1f}", f"{ratio / limit:.0%}", f"{apart:.1e}")
        table.add_row(name, f"{parameters / 1e6:.1f} M", *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
