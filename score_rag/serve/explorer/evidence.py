"""An answer for a page: its prompt in colours, each part with what it changes, and the other users with what they share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from score_rag.context.question import Question
from score_rag.data.log import Event
from score_rag.explain.explainer import Explainer
from score_rag.explain.explanation import Explanation
from score_rag.explain.html import Piece, pieces
from score_rag.pipeline.routes import ROUTES
from score_rag.pipeline.serving_run import ServingRun
from score_rag.recommend.labels import evidence_label
from score_rag.serve.asking import item_route
from score_rag.serve.explorer.ask import Ask, Look, find_look

__all__ = ["explained", "history_rows", "of_explanation"]

_SHOWN = 40
"""Judgements of a history that a page lists, the latest."""


def explained(run: ServingRun, ask: Ask) -> tuple[Look, Explanation, float | None]:
    """(What was asked, the answer to the history with its changes, P(like) without them; None where nothing is changed)."""
    look, explainer = find_look(run, ask), Explainer(run)
    user, item, when = look.person.user_id, look.item.item_id, look.person.as_of
    if not ask.changes:
        # Of a user of the data the history is looked up again, so that the answer says what was judged already.
        return look, explainer.explain(user, item, history=look.before if user is None else None), None
    found = explainer.explain(user, item, history=look.after, as_of=when)
    _, (told,) = run.write([Question(user, item, look.before, when)])
    (answer,) = run.predictor.score([told.text])
    return look, found, answer.probability


def of_explanation(run: ServingRun, ask: Ask, look: Look, found: Explanation, before: float | None) -> dict[str, Any]:
    """What the page names."""
    told, prompt = found.recommendation, found.look
    looked = prompt.special is not None
    most = max([abs(one.effect) for one in prompt.segments if one.effect is not None] + [0.01])
    most_looked = max([one.attention or 0.0 for one in prompt.segments] + [0.01])
    return {
        "ask": ask,
        "item": told.item,
        "told": told,
        "probability": prompt.answer.probability,
        "before": before,
        "route": item_route(run, look.person, told.item.item_id),
        "why": look.person.why,
        "answered": ROUTES[told.route],
        "neighbours": told.neighbours,
        "evidence": [(evidence_label(name), fact) for name, fact in told.evidence.items()],
        "kinds": list(dict.fromkeys(one.kind for one in prompt.segments)),
        "pieces": visible_ends(list(pieces(prompt))),
        "prompt": prompt.text,
        "parts": prompt.segments,
        "looked": looked,
        "special": prompt.special,
        "scale": most,
        "looked_scale": most_looked,
        "notes": found.notes,
        "warnings": told.warnings,
        "history": history_rows(run, look.before, ask),
        "judgements": len(look.before),
        "added": [{"name": run.histories.catalogue[one.item_id].name, "liked": one.liked} for one in look.added],
    }


def visible_ends(found: list[Piece]) -> list[Piece]:
    """Line ends at a piece's end stand outside its colour, as pieces without one."""
    out = []
    for piece in found:
        text = piece.text.rstrip("\n")
        if text:
            out.append(piece._replace(text=text))
        if len(text) < len(piece.text):
            out.append(Piece(piece.text[len(text) :], piece.name, "", False))
    return out


def history_rows(run: ServingRun, events: Sequence[Event], ask: Ask) -> list[dict[str, Any]]:
    """The latest judgements, newest first."""
    names = run.histories.catalogue
    dropped = set(ask.without)
    return [
        {"item_id": one.item_id, "name": names[one.item_id].name, "liked": one.liked, "without": one.item_id in dropped}
        for one in reversed(events[-_SHOWN:])
    ]
