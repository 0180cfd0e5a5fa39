"""The ways by which answers come about, each in one word: what was known of who asks, and who answered. No other place names them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

__all__ = ["ANSWERED_BY", "KNOWN", "ROUTES", "AnsweredBy", "Known", "OrderedBy"]

OrderedBy = Literal["predictor", "recommender"]
"""Whose order a ranking has."""
AnsweredBy = Literal["predictor", "recommender", "recommender-alone"]
"""Who answered: `Recommendation.route`, and `answered_by` of the server's results."""
Known = Literal["personalised", "history only", "cold item", "fallback", "texts only"]
"""What was known of who asks about what: `route` of the server's answers."""

ROUTES: Mapping[AnsweredBy | Known, str] = {
    "predictor": "the language model answered",
    "recommender": "the conventional recommender's order; the language model's P(like)",
    "recommender-alone": "the conventional recommender alone answered; no language model was asked",
    "personalised": "the models were trained on this user's judgements, and read all that came since",
    "history only": "a history is read, and no model was trained on it",
    "cold item": "no model was trained on this item: what is known of it is what the catalogue says",
    "fallback": "nothing is known of who asks: the answer rests on the items alone",
    "texts only": "no item is asked about: the reranker's cross-encoder compares texts, and nobody's taste is known",
}
"""The same in words."""
ANSWERED_BY: tuple[AnsweredBy, ...] = get_args(AnsweredBy)
KNOWN: tuple[Known, ...] = get_args(Known)
