"""vLLM's `/generative_scoring`: prefill only, LoRA adapters by model name.

It answers for the first label only, so the mass needs a second call with the labels swapped, which finds its prompts in the prefix
cache. It cuts over-long prompts at their end, where the question stands: nothing longer than it reads is ever sent. It tokenises
query and items apart: it gets token ids.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from score_rag.predictor.answer import Answer, from_probabilities
from score_rag.predictor.engines.http import HttpEngine
from score_rag.predictor.engines.prefix import shared_beginning

__all__ = ["VllmEngine"]

_PATH = "/generative_scoring"


class VllmEngine(HttpEngine):
    """Scores by a vLLM server; see `HttpEngine`."""

    kind = "vllm"

    def ask(self, rows: Sequence[list[int]]) -> list[Answer]:
        """One answer a row, by two requests: P(Yes) and P(No) over the whole vocabulary."""
        yes, no = self.answers
        return [from_probabilities(p, q) for p, q in zip(self._first(rows, (yes, no)), self._first(rows, (no, yes)), strict=True)]

    def _first(self, rows: Sequence[list[int]], labels: tuple[int, int]) -> list[float]:
        """Probability of the first label, a row."""
        shared = shared_beginning(rows)
        body = {
            "model": self.model,
            "query": rows[0][:shared],
            "items": [row[shared:] for row in rows],
            "label_token_ids": list(labels),
            "apply_softmax": False,
            "item_first": False,
            "add_special_tokens": False,
        }
        answer = self.post(_PATH, body)
        try:
            scores = {int(one["index"]): float(one["score"]) for one in answer["data"]}
            ordered = [scores[place] for place in range(len(rows))]
        except (KeyError, TypeError, ValueError) as error:
            raise self.malformed(_PATH, f'{{"data": [{{"index", "score"}}]}} of {len(rows)} items', answer) from error
        if not all(math.isfinite(score) and 0.0 <= score <= 1.0 + 1e-6 for score in ordered):
            raise self.malformed(_PATH, "probabilities in 0..1", ordered)
        self.count(answer.get("usage"))
        return ordered
