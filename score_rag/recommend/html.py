"""A recommendation as a notebook shows it: the answer, the evidence, the other users."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from score_rag.recommend.recommendation import Recommendation

__all__ = ["to_html"]


def to_html(found: Recommendation) -> str:
    """HTML without scripts and without anything from another host; all that comes from data is escaped."""
    from score_rag.pipeline.routes import ROUTES

    who = "this user" if found.user_id is None else f"user {found.user_id}"
    facts = ", ".join([*found.item.genres, *found.item.creators])
    colour = "#1a7f37" if found.verdict == "Yes" else "#b3261e"
    parts = [
        f"<div><strong>{escape(found.item.name)}</strong> {escape(facts)}</div>",
        f"<div>Will {escape(who)} like it? <strong style='color:{colour}'>{found.verdict}</strong>, "
        f"P(like) {found.probability:.3f} <progress value='{found.probability:.3f}' max='1'></progress></div>",
    ]
    if found.evidence:
        rows = [(name, fact.level, fact.word, "" if fact.value is None else f"{fact.value:.2f}") for name, fact in found.evidence.items()]
        parts.append(_table("evidence in the prompt", ("", "level of 99", "word", "number"), rows))
    if found.neighbours:
        others = [
            (
                other.user_id,
                f"{other.similarity:.3f}",
                "" if other.reranker_score is None else f"{other.reranker_score:+.2f}",
                f"{other.verdict} it" if other.verdict else "never judged it",
                "; ".join(other.in_common),
            )
            for other in found.neighbours
        ]
        parts.append(_table("other users in the prompt", ("user", "CAR (cosine)", "SARE (logit)", "of this item", "in common"), others))
    parts += [f"<div><em>note: {escape(warning)}</em></div>" for warning in found.warnings]
    told = {"route": ROUTES[found.route], **found.parts}
    parts.append("<div><small>" + "<br>".join(escape(f"{stage}: {what}") for stage, what in told.items()) + "</small></div>")
    return f"<div class='score-rag'>{''.join(parts)}</div>"


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><caption>{escape(title)}</caption><tr>{top}</tr>{body}</table>"
