"""SGLang's `/v1/score`: all labels of all items in one call.

The request names no LoRA adapter in the versions that were read: serve merged weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from score_rag.predictor.answer import Answer, from_probabilities
from score_rag.predictor.engines.http import HttpEngine
from score_rag.predictor.engines.prefix import shared_beginning

__all__ = ["SglangEngine"]

_PATH = "/v1/score"


class SglangEngine(HttpEngine):
    """Scores by an SGLang server; see `HttpEngine`."""

    kind = "sglang"

    def ask(self, rows: Sequence[list[int]]) -> list[Answer]:
        """One answer a row, by one request."""
        shared = shared_beginning(rows)
        body = {
            "model": self.model,
            "query": rows[0][:shared],
            "items": [row[shared:] for row in rows],
            "label_token_ids": list(self.answers),
            "apply_softmax": False,
            "item_first": False,
        }
        answer = self.post(_PATH, body)
        try:
            pairs = [(float(yes), float(no)) for yes, no in answer["scores"]]
        except (KeyError, TypeError, ValueError) as error:
            raise self.malformed(_PATH, '{"scores": [[P(Yes), P(No)], ...]}', answer) from error
        if len(pairs) != len(rows) or not all(math.isfinite(p) and 0.0 <= p <= 1.0 + 1e-6 for pair in pairs for p in pair):
            raise self.malformed(_PATH, f"{len(rows)} pairs of probabilities in 0..1", answer["scores"])
        self.count(answer.get("usage"))
        return [from_probabilities(yes, no) for yes, no in pairs]
